"""How fast the gateway is beside nginx and Caddy, each checking one bearer key, in front of the same server (bench_wire.c, which
is the client of many streams too); and with a whole policy beside without. Rounds are interleaved. Ratios are taken round by round, and their median is shown."""

import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading

from bench_peers import Caddy, Direct, Nginx, Ours
from bench_tokens import Issuer

HERE = os.path.dirname(os.path.abspath(__file__))
CHUNKS = 300_000
STREAMS = 1000
NEW_TOKENS = 200


class Timings:
    """The figures of one kind of work: peer, figure, one value a round."""

    def __init__(self, title, unit):
        self.title, self.unit, self.values = title, unit, {}

    def add(self, peer, value):
        self.values.setdefault(peer, []).append(value)

    def median(self, peer):
        return statistics.median(self.values[peer])

    def ratio(self, a, b, less=None):
        """The median of the ratio in each round; `less` is taken from both before."""
        base = self.values[less] if less else [0] * len(self.values[a])
        # Where nothing is added by the other there is no ratio; a hundredth of the unit stands for it.
        pairs = zip(self.values[a], self.values[b], base)
        return statistics.median((x - z) / max(y - z, 0.01) for x, y, z in pairs)

    def show(self):
        rounds = len(next(iter(self.values.values())))
        print(f"\n{self.title} ({self.unit}, {rounds} interleaved rounds)")
        for peer, values in self.values.items():
            low, high = min(values), max(values)
            print(f"  {peer:<24} median {statistics.median(values):12.2f}   min {low:12.2f}   max {high:12.2f}")


# Each request has a parameter of its own, which is not signed.
ANEW = """
local threads, count = 0, 0
function setup(thread) thread:set("id", threads) threads = threads + 1 end
function request() count = count + 1 return wrk.format(nil, wrk.path .. "&n=" .. id .. "." .. count) end
"""


# The upstream server of the benchmark finds the end of a body by its last member.
POST = """
wrk.method = "POST"
wrk.body = '{"model":"bulk-1","messages":[],"end":1}'
wrk.headers["Content-Type"] = "application/json"
"""

# More than is asked for here: a million at once, and then some 17,000 a second.
WIDE = 'requests-per-minute = 1000000\nstreams = 100000\nrequest-size = "100MiB"\n'
NETWORKS = 'allow = ["127.0.0.0/8", "::1", "10.0.0.0/8"]\ndeny = ["10.9.0.0/16", "192.0.2.0/24"]\n'
ROLES, RULES, KEYS = 40, 200, 10_000


def policy():
    """40 roles, 200 rules for single requests, groups within groups, an environment, lists of addresses, and limits of each. All of it
    applies to the person and the key that are measured; none of it refuses anything."""
    tables = [f"[limits]\n{WIDE}", f"[addresses]\n{NETWORKS}"]
    roles = ["viewer", "member", "maintainer", "admin", *(f"role-{number}" for number in range(ROLES - 4))]
    for number, role in enumerate(roles):
        base = 'base = "member"\n' if number >= 4 else ""
        models = f'models = ["bulk-*", "llama*", "team-{number}/**"]\nmax-key-lifetime = "365d"\n'
        tables.append(f"[roles.{role}]\n{base}{models if role != 'member' else ''}")
        tables.append(f"[roles.{role}.limits]\n{WIDE}[roles.{role}.addresses]\n{NETWORKS}")
    tables.append(f"[groups.lab]\n[groups.lab.limits]\n{WIDE}")
    tables.append(f'[groups.team]\nwithin = "lab"\n[groups.team.limits]\n{WIDE}')
    tables.append(f'[environments.bench]\nmax-key-age = "300d"\n[environments.bench.addresses]\n{NETWORKS}')
    tables.append(f"[environments.bench.limits]\n{WIDE}[environments.bench.role-limits.member]\n{WIDE}")
    for number in range(RULES):
        who = f'roles = ["{roles[number % ROLES]}"]\n' if number % 2 else ""
        tables.append(f'[[caps]]\n{who}models = ["family-{number}-*"]\nnum-ctx = {4096 + number}\nnum-predict = 2048\n')
    return "".join(tables)


def wrk(url, header, connections, seconds, script=None):
    """Requests a second, and the median latency in µs."""
    threads = min(2, connections)
    args = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", header]
    args += [*(["-s", script] if script else []), url]
    out = subprocess.run(args, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        sys.exit(f"{url}: {out}")
    value, unit = re.search(r"50%\s+([\d.]+)(us|ms|s)", out).groups()
    median = float(value) * {"us": 1, "ms": 1000, "s": 1_000_000}[unit]
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]), median


class Memory(threading.Thread):
    """The most memory that a peer holds, in MiB, looked at every 50 ms."""

    def __init__(self, peer):
        super().__init__()
        self.peer, self.most, self.over = peer, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            self.most = max(self.most, self.peer.resident())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()


class Bench:
    def __init__(self, ours, pair, tokens, peers, wire, quick, report):
        self.ours, self.peers, self.wire, self.report = ours, peers, wire, report
        self.accepting, self.issuer = tokens
        self.without, self.governed = pair
        self.rounds, self.seconds = (2, 1) if quick else (7, 3)

    def check_that_keys_are_checked(self):
        for peer in self.peers[1:]:
            for header, wanted in ((self.ours.header, "200"), (self.ours.header + "x", "401"), ("X-Other: 1", "401")):
                args = ["curl", "-sS", "-o", "/dev/null", "--noproxy", "*", "-w", "%{http_code}", "-H", header]
                got = subprocess.run([*args, f"{peer.url}/api/tags"], capture_output=True, text=True).stdout
                if got != wanted:
                    sys.exit(f"{peer.name} answers {got} where {wanted} is right")

    def streams(self, peer, count, model, header):
        args = [self.wire, "streams", str(peer.port), str(count), header or self.ours.header, model]
        out = subprocess.run(args, check=True, capture_output=True, text=True).stdout
        return json.loads(out)

    def sound(self, peer, count, model, header=None):
        measured = self.streams(peer, count, model, header)
        if measured["failed"]:
            sys.exit(f"{peer.name}: {measured['failed']} of {count} streams were not whole")
        return measured

    def many_streams(self):
        """First, while the memory of the others is still what they started with."""
        total, tail = Timings(f"{STREAMS} streams of 50 chunks: total", "ms"), Timings("the same: p99 of delivery", "ms")
        memory = Timings("the same: resident", "MiB")
        for _ in range(self.rounds):
            for peer in self.peers:
                with Memory(peer) as seen:
                    measured = self.sound(peer, STREAMS, "paced-50")
                total.add(peer.name, measured["ms"])
                tail.add(peer.name, measured["p99"] / 1000)
                memory.add(peer.name, seen.most)
        for timings in (total, tail, memory):
            timings.show()
        what, goal = f"{STREAMS} streams", self.report.goal
        ratio = total.ratio("gateway", "direct")
        goal(f"{what}: total time", f"{ratio:.3f} x direct", "at most 1.03", ratio <= 1.03)
        ratio = tail.ratio("gateway", "nginx")
        goal(f"{what}: p99 of delivery", f"{ratio:.2f} x nginx", "at most 1.2", ratio <= 1.2)
        most = max(memory.values["gateway"])
        goal(f"{what}: resident", f"{most:.1f} MiB", "at most 40", most <= 40)

    def requests(self):
        rate, cpu = Timings("GET /api/tags, 64 connections", "requests/s"), Timings("the same: CPU", "µs/request")
        signed, anew = "gateway, signature", "gateway, verified anew"
        script = os.path.join(self.ours.folder, "anew.lua")
        with open(script, "w", encoding="ascii") as file:
            file.write(ANEW)
        for number in range(self.rounds + 1):
            for name, peer, header, path, script_of in [
                *((peer.name, peer, self.ours.header, "/api/tags", None) for peer in self.peers),
                (signed, self.ours, *self.ours.signed("/api/tags"), None),
                (anew, self.ours, *self.ours.signed("/api/tags"), script),
            ]:
                seconds, before = (self.seconds, peer.cpu()) if number else (1, 0)
                per_second, _ = wrk(peer.url + path, header, 64, seconds, script_of)
                if number:
                    rate.add(name, per_second)
                    cpu.add(name, (peer.cpu() - before) / (per_second * seconds) * 1e6)
        rate.show()
        cpu.show()
        goal = self.report.goal
        ratio = rate.ratio("gateway", "nginx")
        goal("GET /api/tags, requests/s", f"{ratio:.2f} x nginx", "at least 0.75", ratio >= 0.75)
        ratio = cpu.ratio("gateway", "nginx")
        goal("GET /api/tags, CPU per request", f"{ratio:.2f} x nginx", "at most 1.5", ratio <= 1.5)
        if "caddy" in rate.values:
            ratio = rate.ratio("gateway", "caddy")
            goal("GET /api/tags, requests/s", f"{ratio:.2f} x caddy", "at least 4", ratio >= 4)
        self.report.note("GET /api/tags, requests/s", f"{rate.ratio('gateway', 'direct'):.2f} x direct", "")
        ratio = rate.ratio(signed, "nginx")
        goal("the same with a signature, within its second", f"{ratio:.2f} x nginx with a key", "at least 0.33", ratio >= 0.33)
        # The whole target is tried first and the path alone then, so two verifications each.
        ratio = rate.ratio(anew, "nginx")
        self.report.note("the same, each verified anew (twice)", f"{ratio:.2f} x nginx with a key", "")

    def policy(self):
        """A policy with everything in it, which refuses nothing here, against none: with a key that has limits, on GET; with one that is for certain
        models besides, on a POST whose body is read; and on a dense stream. Both gateways have done nothing else before: one that has grown
        its memory in the parts before needs half as much CPU for a stream."""
        script = os.path.join(self.ours.folder, "post.lua")
        with open(script, "w", encoding="ascii") as file:
            file.write(POST)
        model = f"bulk-{CHUNKS}"
        for what, path, script_of, of in [
            ("GET /api/tags", "/api/tags", None, lambda peer: peer.header),
            ("POST /api/chat, models", "/api/chat", script, lambda peer: peer.header_for_models),
        ]:
            rate, cpu = Timings(f"{what}, policy", "requests/s"), Timings("the same: CPU", "µs/request")
            for number in range(self.rounds + 1):
                for peer in (self.without, self.governed):
                    seconds, before = (self.seconds, peer.cpu()) if number else (1, 0)
                    per_second, _ = wrk(peer.url + path, of(peer), 64, seconds, script_of)
                    if number:
                        rate.add(peer.name, per_second)
                        cpu.add(peer.name, (peer.cpu() - before) / (per_second * seconds) * 1e6)
            rate.show()
            cpu.show()
            ratio = rate.ratio("governed", "without")
            self.report.row(f"{what}, policy: requests/s", f"{ratio:.3f} x without", "at least 0.93", ratio >= 0.93)
            ratio = cpu.ratio("governed", "without")
            self.report.row(f"{what}, policy: CPU per request", f"{ratio:.3f} x without", "at most 1.10", ratio <= 1.10)
        cpu = Timings(f"one stream of {CHUNKS} chunks, policy: CPU", "ms")
        for _ in range(self.rounds):
            for peer in (self.without, self.governed):
                before = peer.cpu()
                self.sound(peer, 1, model, peer.header)
                cpu.add(peer.name, (peer.cpu() - before) * 1000)
        cpu.show()
        ratio = cpu.ratio("governed", "without")
        self.report.row("one stream, policy: CPU", f"{ratio:.3f} x without", "at most 1.10", ratio <= 1.10)

    def tokens(self):
        """A token of a workload that was verified before, against an API key of the same gateway; and what a token costs that was not."""
        peer, what = self.accepting, "GET /api/tags, token"
        rate, cpu = Timings(what, "requests/s"), Timings("the same: CPU", "µs/request")
        first = Timings(f"{NEW_TOKENS} requests on one connection: CPU", "ms/request")
        for number in range(self.rounds + 1):
            known = f"Authorization: Bearer {self.issuer.token()}"
            for name, header in [("key", peer.header), ("token", known)]:
                seconds, before = (self.seconds, peer.cpu()) if number else (1, 0)
                per_second, _ = wrk(f"{peer.url}/api/tags", header, 64, seconds)
                if number:
                    rate.add(name, per_second)
                    cpu.add(name, (peer.cpu() - before) / (per_second * seconds) * 1e6)
            for name, headers in [
                ("known token", [known] * NEW_TOKENS),
                ("new tokens", [f"Authorization: Bearer {self.issuer.token()}" for _ in range(NEW_TOKENS)]),
            ]:
                before = peer.cpu()
                self.ask_each(peer, headers)
                first.add(name, (peer.cpu() - before) * 1000 / NEW_TOKENS)
        for timings in (rate, cpu, first):
            timings.show()
        ratio = rate.ratio("token", "key")
        self.report.row(f"{what} verified before: requests/s", f"{ratio:.3f} x API key", "at least 0.9", ratio >= 0.9)
        more = first.median("new tokens") - first.median("known token")
        self.report.row("first verification of a token (RS256): CPU", f"{more:.3f} ms", "at most 0.2", more <= 0.2)

    def ask_each(self, peer, headers):
        """One request with each of them, on one connection."""
        file = os.path.join(peer.folder, "requests")
        with open(file, "w", encoding="ascii") as out:
            for number, header in enumerate(headers):
                out.write("next\n" if number else "")
                out.write(f'url = "{peer.url}/api/tags"\noutput = "/dev/null"\nheader = "{header}"\nnoproxy = "*"\nfail\n')
        subprocess.run(["curl", "-sS", "-K", file], check=True)

    def latency(self):
        timings = Timings("GET /api/tags, one connection: median latency", "µs")
        for _ in range(self.rounds):
            for peer in self.peers:
                timings.add(peer.name, wrk(f"{peer.url}/api/tags", self.ours.header, 1, min(self.seconds, 2))[1])
        timings.show()
        ratio = timings.ratio("gateway", "nginx", less="direct")
        added = timings.median("gateway") - timings.median("direct")
        goal = "at most 1.3"
        self.report.goal("one connection: added latency", f"{ratio:.2f} x nginx ({added:.0f} µs)", goal, ratio <= 1.3)

    def one_stream(self):
        model = f"bulk-{CHUNKS}"
        speed, cpu = Timings(f"one stream of {CHUNKS} chunks", "MB/s"), Timings("the same: CPU", "ms")
        self.sound(self.peers[0], 1, model)
        for _ in range(self.rounds):
            for peer in self.peers:
                before = peer.cpu()
                measured = self.sound(peer, 1, model)
                cpu.add(peer.name, (peer.cpu() - before) * 1000)
                speed.add(peer.name, measured["bytes"] / measured["ms"] / 1000)
        speed.show()
        cpu.show()
        ratio = speed.ratio("gateway", "nginx")
        self.report.goal(f"one stream of {CHUNKS} chunks, MB/s", f"{ratio:.2f} x nginx", "at least 0.5", ratio >= 0.5)
        ratio = cpu.ratio("gateway", "nginx")
        self.report.goal(f"one stream of {CHUNKS} chunks, CPU", f"{ratio:.2f} x nginx", "at most 3", ratio <= 3)

    def first_byte(self):
        timings = Timings("first byte of an answer, on a new connection", "ms")
        for _ in range(self.rounds * 15):
            for peer in self.peers:
                timings.add(peer.name, self.sound(peer, 1, "bulk-1")["first"] / 1000)
        timings.show()
        more = timings.median("gateway") - timings.median("nginx")
        self.report.goal("first byte", f"nginx {more:+.2f} ms", "at most +0.3 ms", more <= 0.3)

    def death(self):
        print("\nthe upstream server dies mid-stream: how curl ends")
        for peer in self.peers:
            body = '{"model":"die-3","prompt":"hi","end":1}'
            args = ["curl", "-sS", "-o", "/dev/null", "--noproxy", "*", "-H", self.ours.header, "-d", body]
            code = subprocess.run([*args, f"{peer.url}/api/generate"], stderr=subprocess.DEVNULL).returncode
            print(f"  {peer.name:<24} exit {code}{' (a clean end: cut answers look whole)' if code == 0 else ''}")
            if peer is self.ours:
                self.report.row("the upstream server dies: never a clean end", f"curl: exit {code}", "not 0", code != 0)


def bench(binary, quick, report):
    for tool in ("wrk", "nginx", "cc", "curl", "openssl"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not on PATH")
    # Thousands of connections, for everything that is started from here.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    started = []
    with tempfile.TemporaryDirectory(prefix="ollama-auth-bench-") as folder:
        try:
            wire = os.path.join(folder, "wire")
            subprocess.run(["cc", "-O2", "-o", wire, os.path.join(HERE, "bench_wire.c")], check=True)
            direct = Direct(wire)
            started.append(direct)
            ours = Ours(binary, folder, direct.url)
            started.append(ours)
            ours.make_credentials()
            file = os.path.join(folder, "policy.toml")
            with open(file, "w", encoding="ascii") as out:
                out.write(policy())
            pair = []
            limits = ["--limit", "rpm=1000000,streams=100000,size=100MiB", "--env", "bench", "--from", "127.0.0.0/8"]
            for name, more, limits in [("without", [], []), ("governed", ["--config", file], limits)]:
                place = os.path.join(folder, name)
                os.mkdir(place)
                pair.append(Ours(binary, place, direct.url, name=name, more=more))
                started.append(pair[-1])
                pair[-1].make_credentials(limits)
            pair[-1].fill(KEYS)
            issuer, place = Issuer(folder), os.path.join(folder, "tokens")
            os.mkdir(place)
            file = os.path.join(place, "gateway.toml")
            with open(file, "w", encoding="ascii") as out:
                out.write(issuer.rule())
            accepting = Ours(binary, place, direct.url, name="tokens", more=["--config", file])
            started.append(accepting)
            accepting.make_credentials()
            peers = [direct, ours, Nginx(folder, direct.port, ours.header)]
            started.append(peers[-1])
            if shutil.which("caddy"):
                peers.append(Caddy(folder, direct.port, ours.header))
                started.append(peers[-1])
            for peer in peers:
                peer.wait()
            work = Bench(ours, pair, (accepting, issuer), peers, wire, quick, report)
            work.check_that_keys_are_checked()
            work.many_streams()
            work.requests()
            work.policy()
            work.tokens()
            work.latency()
            work.one_stream()
            work.first_byte()
            work.death()
        finally:
            for peer in reversed(started):
                peer.end()
