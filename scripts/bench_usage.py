"""What policy, event log and usage cost together: this build with all of them beside an earlier one, `--against`, in one run. CPU per request
of a list and of a chat whose model is checked, CPU of a dense stream of either form, and the time until the first byte. The policy is that of
`bench_gateway`; usage is recorded in SQLite, as by default."""

import os
import socket
import subprocess
import tempfile
import time

from bench_gateway import HERE, POST, Timings, policy, wrk
from bench_peers import Direct, Ours

LINES, EVENTS = 300_000, 150_000
LIMITS = ["--limit", "rpm=1000000,streams=100000,size=100MiB", "--env", "bench", "--from", "127.0.0.0/8"]


class Caller:
    """One connection that is kept."""

    def __init__(self, peer):
        self.socket = socket.create_connection(("127.0.0.1", peer.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        text = "x" * 1950
        body = f'{{"model":"bulk-1","messages":[{{"role":"user","content":"{text}"}}],"end":1}}'
        self.request = (
            f"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:{peer.port}\r\n{peer.header}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def first_byte(self):
        """Milliseconds. Reads the response to its end."""
        began = time.perf_counter()
        self.socket.sendall(self.request)
        got = self.socket.recv(65536)
        took = time.perf_counter() - began
        assert got.startswith(b"HTTP/1.1 200"), got
        while not got.endswith(b"\r\n0\r\n\r\n"):
            got += self.socket.recv(65536)
        return took * 1000


def requests(pair, folder, seconds, rounds, report):
    script = os.path.join(folder, "post.lua")
    with open(script, "w", encoding="ascii") as file:
        file.write(POST)
    for what, path, script_of, header_of, limit in [
        ("GET /api/tags", "/api/tags", None, lambda peer: peer.header, 1.25),
        ("POST /api/chat, models", "/api/chat", script, lambda peer: peer.header_for_models, 1.35),
    ]:
        cpu = Timings(f"{what}: CPU", "µs/request")
        for number in range(rounds + 1):
            for peer in pair:
                before = peer.cpu()
                per_second, _ = wrk(peer.url + path, header_of(peer), 64, seconds, script_of)
                if number:
                    cpu.add(peer.name, (peer.cpu() - before) / (per_second * seconds) * 1e6)
        compare(cpu, f"{what}, CPU per request", limit, report)


def streams(pair, wire, rounds, report):
    for what, model, limit in [
        (f"a native stream of {LINES} lines", f"bulk-{LINES}", 1.25),
        (f"a chat/completions stream of {EVENTS} events, usage removed", f"events-{EVENTS}", 1.6),
    ]:
        cpu = Timings(f"{what}: CPU", "ms")
        for _ in range(4 * rounds):
            for peer in pair:
                before = peer.cpu()
                args = [wire, "streams", str(peer.port), "1", peer.header, model]
                out = subprocess.run(args, check=True, capture_output=True, text=True).stdout
                assert '"failed":0' in out, out
                cpu.add(peer.name, (peer.cpu() - before) * 1000)
        compare(cpu, f"{what}, CPU", limit, report)


def first_bytes(pair, rounds, report):
    first = Timings("first byte of a chat of 2 KiB, one connection", "ms")
    callers = [(peer, Caller(peer)) for peer in pair]
    for number in range(300 * rounds + 100):
        for peer, caller in callers:
            took = caller.first_byte()
            if number >= 100:
                first.add(peer.name, took)
    first.show()
    more = first.median("now") - first.median("before")
    report.goal("first byte, 2 KiB", f"{more * 1000:+.0f} µs", "at most +100 µs", more <= 0.1)


def compare(timings, what, limit, report):
    timings.show()
    ratio = timings.ratio("now", "before")
    report.goal(what, f"{ratio:.3f} x before", f"at most {limit}", ratio <= limit)


def bench(binary, against, quick, report):
    if not against:
        report.note("policy, event log and usage", "not measured: --against says beside what", "")
        return
    with tempfile.TemporaryDirectory() as folder:
        started = []
        try:
            wire = os.path.join(folder, "wire")
            subprocess.run(["cc", "-O2", "-o", wire, os.path.join(HERE, "bench_wire.c")], check=True)
            direct = Direct(wire)
            started.append(direct)
            file = os.path.join(folder, "policy.toml")
            with open(file, "w", encoding="ascii") as out:
                out.write(policy())
            pair = []
            for name, program, more, limits in [("before", against, [], []), ("now", binary, ["--config", file], LIMITS)]:
                place = os.path.join(folder, name)
                os.mkdir(place)
                pair.append(Ours(program, place, direct.url, name=name, more=more))
                started.append(pair[-1])
                pair[-1].make_credentials(limits)
            rounds, seconds = (2, 1) if quick else (7, 3)
            streams(pair, wire, rounds, report)
            first_bytes(pair, rounds, report)
            requests(pair, folder, seconds, rounds, report)
        finally:
            for peer in reversed(started):
                peer.end()
