"""Gateways on one PostgreSQL: how fast one is beside one on SQLite, how many transactions accepted requests cause, how soon the others
refuse a key that was revoked at one, with notifications and without, and how long and large one is with 100,000 keys."""

import base64
import glob
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import bench_gateway
from bench_gateway import Timings, wrk
from bench_peers import Direct, Ours

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = 100_000
REVOCATIONS = 1000
# Rows as those of keys that an account made. Both engines read it.
MANY = """INSERT INTO api_keys (id, user_id, name, scopes, models, hash, hint, replaceable, created_at, created_by)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
SELECT 'key_many' || (10000000 + n), (SELECT min(id) FROM users), 'number ' || n, '["inference"]', '[]', {hash}, 'abcd', {true}, 1, 'session'
FROM numbers"""


class Postgres:
    """A server on a Unix socket in a folder."""

    def __init__(self, folder):
        self.folder = folder
        places = [*sorted(glob.glob("/usr/lib/postgresql/*/bin")), *os.environ["PATH"].split(":")]
        has_all = [place for place in places if os.path.exists(f"{place}/initdb") and os.path.exists(f"{place}/psql")]
        if not has_all:
            sys.exit("PostgreSQL is not installed")
        self.programs = has_all[0]
        self.user = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        data = f"{folder}/data"
        init = [f"{self.programs}/initdb", "--no-sync", "--auth=trust", "--locale=C", "-E", "UTF8", "-U", "gate", "-D", data]
        subprocess.run([*self.user, *init], check=True, capture_output=True, cwd="/")
        # As delivered, but for where it listens.
        serve = [f"{self.programs}/postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
        self.process = subprocess.Popen([*self.user, *serve], stderr=subprocess.DEVNULL, cwd="/")
        end = time.monotonic() + 30
        while subprocess.run([f"{self.programs}/pg_isready", "-q", "-h", folder]).returncode != 0:
            if time.monotonic() > end:
                sys.exit("PostgreSQL does not start")
            time.sleep(0.05)

    def sql(self, statement, database="postgres"):
        psql = [f"{self.programs}/psql", "-X", "-q", "-A", "-t", "-h", self.folder, "-U", "gate", "-d", database]
        done = subprocess.run([*psql, "-v", "ON_ERROR_STOP=1", "-c", statement], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        return done.stdout.strip()

    def database(self, name):
        self.sql(f"CREATE DATABASE {name}")
        return f"postgres://gate@/{name}?host={self.folder}"

    def transactions(self, name):
        # The server's figures are up to a second old.
        time.sleep(2)
        return int(self.sql(f"SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = '{name}'"))

    def end(self):
        self.process.terminate()
        self.process.wait()


class Asker:
    """One connection to a gateway."""

    def __init__(self, gateway, header):
        self.connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
        self.header = header.split(": ", 1)[1]

    def ask(self, method, path, key=None, body=None):
        auth = f"Bearer {key}" if key else self.header
        self.connection.request(method, path, body, {"Authorization": auth})
        try:
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException:
            # Cut off, since the key was revoked at this moment: to be asked again.
            self.connection.close()
            return 0, b""


def rates(sqlite, shared, rounds, seconds, wire, report):
    rate, stream = Timings("GET /api/tags, 64 connections", "requests/s"), Timings("dense stream", "MB/s")
    for number in range(rounds + 1):
        for gateway in (sqlite, shared):
            per_second, _ = wrk(f"{gateway.url}/api/tags", gateway.header, 64, seconds if number else 1)
            args = [wire, "streams", str(gateway.port), "1", gateway.header, f"bulk-{bench_gateway.CHUNKS}"]
            measured = json.loads(subprocess.run(args, check=True, capture_output=True, text=True).stdout)
            if measured["failed"]:
                sys.exit(f"{gateway.name}: a stream was not whole")
            if number:
                rate.add(gateway.name, per_second)
                stream.add(gateway.name, measured["bytes"] / measured["ms"] / 1000)
    for timings in (rate, stream):
        timings.show()
        ratio = timings.ratio("on PostgreSQL", "on SQLite")
        report.goal(f"{timings.title}, PostgreSQL", f"{ratio:.3f} x SQLite", "at least 0.97", ratio >= 0.97)


def transactions(server, shared, name, report):
    """Of as many seconds with and without requests."""
    took, before = 6, server.transactions(name)
    time.sleep(took)
    idle = server.transactions(name) - before
    header, path = shared.signed("/api/tags")
    before, count = server.transactions(name), 0
    for credential, target in ((shared.header, "/api/tags"), (header, path)):
        per_second, _ = wrk(shared.url + target, credential, 16, took // 2)
        count += per_second * (took // 2)
    busy = server.transactions(name) - before
    print(f"\ntransactions in {took} s: {idle} idle, {busy} with {count:.0f} requests of a key and a device")
    # Those of last-used times are written every five seconds, for all requests together.
    report.row("transactions for an accepted request", f"{max(busy - idle, 0) / count:.5f}", "0 (at most 0.001)", busy - idle <= count / 1000)


def revocations(replicas, count):
    """The milliseconds from each confirmed revocation until the slowest of the others refuses the key, under load of all; sorted."""
    load = [
        subprocess.Popen(
            ["wrk", "-t1", "-c16", "-d600s", "-H", replicas[0].header, f"{replica.url}/api/tags"], stdout=subprocess.DEVNULL
        )
        for replica in replicas
    ]
    first, others = Asker(replicas[0], replicas[0].manager), [Asker(replica, replicas[0].header) for replica in replicas[1:]]
    waits = []
    try:
        for number in range(count):
            body = json.dumps({"name": f"n{number}", "scopes": ["models:read"]})
            status, answer = first.ask("POST", "/api/user/keys", body=body)
            if status != 201:
                sys.exit(f"a key cannot be created: {status} {answer}")
            made = json.loads(answer)
            for other in others:
                while other.ask("GET", "/api/tags", made["key"])[0] != 200:
                    pass
            encoded = base64.urlsafe_b64encode(made["id"].encode()).decode().rstrip("=")
            status, answer = first.ask("DELETE", f"/api/user/keys/{encoded}")
            confirmed = time.monotonic()
            if status != 200:
                sys.exit(f"a key cannot be revoked: {status} {answer}")
            for other in others:
                while other.ask("GET", "/api/tags", made["key"])[0] != 401:
                    pass
            waits.append((time.monotonic() - confirmed) * 1000)
    finally:
        for process in load:
            process.terminate()
            process.wait()
    waits.sort()
    print(f"\nrevoked to refused at the slowest of {len(replicas)}: median {waits[len(waits) // 2]:.1f} ms, of {len(waits)}")
    return waits


def notified(replicas, count, report):
    waits = revocations(replicas, count)
    p99, most = waits[int(len(waits) * 0.99) - 1], waits[-1]
    report.goal("revoked to refused everywhere, p99", f"{p99:.1f} ms", "at most 100 ms", p99 <= 100)
    report.goal("revoked to refused everywhere, most", f"{most:.1f} ms", "at most 1000 ms", most <= 1000)


def unnotified(server, replicas, count, report):
    """While the connections that notifications come by are frozen, as behind a firewall that has forgotten them."""
    listening = "SELECT pid FROM pg_stat_activity WHERE datname = 'gate' AND query ILIKE 'LISTEN%'"
    frozen = [int(pid) for pid in server.sql(listening).split()]
    if len(frozen) < len(replicas):
        sys.exit(f"{len(frozen)} connections listen, for {len(replicas)} gateways")
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        most = revocations(replicas, count)[-1]
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    report.goal("the same with notifications lost, most", f"{most:.0f} ms", "at most 5000 ms", most <= 5000)


def start(make):
    """The seconds until it answers, and its memory in MiB."""
    began = time.monotonic()
    gateway = make()
    # It listens before it has read its database.
    if Asker(gateway, "Authorization: Bearer x").ask("GET", "/healthz")[0] != 200:
        sys.exit("the gateway is not well")
    took, resident = time.monotonic() - began, gateway.resident()
    gateway.end()
    return took, resident


def many_keys(engine, make, fill, report):
    _, before = start(make)
    fill()
    took, after = min((start(make) for _ in range(3)), key=lambda pair: pair[0])
    report.goal(f"start with {KEYS} keys, {engine}", f"{took:.2f} s", "at most 2 s", took <= 2)
    report.goal(f"memory for {KEYS} keys, {engine}", f"{after - before:.1f} MiB", "at most 60 MiB", after - before <= 60)


def bench(binary, quick, report):
    rounds, seconds, count = (2, 1, 50) if quick else (7, 3, REVOCATIONS)
    started = []
    with tempfile.TemporaryDirectory(prefix="ollama-auth-bench-") as folder:
        os.chmod(folder, 0o711)
        places = [os.path.join(folder, name) for name in ("sqlite", "one", "two", "three", "pg")]
        for place in places:
            os.mkdir(place, 0o700)
        try:
            wire = os.path.join(folder, "wire")
            subprocess.run(["cc", "-O2", "-o", wire, os.path.join(HERE, "bench_wire.c")], check=True)
            server = Postgres(places[4])
            started.append(server)
            direct = Direct(wire)
            started.append(direct)
            database = server.database("gate")
            secret = os.path.join(folder, "secret")
            with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                file.write("x" * 32)
            more = ["--set", f"secret-file={secret}"]
            sqlite = Ours(binary, places[0], direct.url, "on SQLite")
            started.append(sqlite)
            replicas = [Ours(binary, place, direct.url, "on PostgreSQL", database, more) for place in places[1:4]]
            started.extend(replicas)
            for gateway in (sqlite, replicas[0]):
                gateway.make_credentials()
            manager = replicas[0].run("keys", "create", "manager", "--scope", "inference,models:read,keys")
            replicas[0].manager = f"Authorization: Bearer {manager}"
            time.sleep(2)
            rates(sqlite, replicas[0], rounds, seconds, wire, report)
            transactions(server, replicas[0], "gate", report)
            notified(replicas, count, report)
            unnotified(server, replicas, 3 if quick else 30, report)
            for gateway in (sqlite, *replicas):
                started.remove(gateway)
                gateway.end()

            def on_sqlite():
                return Ours(binary, places[0], direct.url)

            def on_postgres():
                return Ours(binary, places[1], direct.url, "gateway", database, more)

            def fill_sqlite():
                with sqlite3.connect(os.path.join(places[0], "gateway.db")) as connection:
                    connection.execute(MANY.format(count=KEYS, hash="randomblob(32)", true="1"))

            def fill_postgres():
                digest = "sha256(('x' || n)::bytea)"
                server.sql(MANY.format(count=KEYS, hash=digest, true="TRUE"), "gate")

            many_keys("SQLite", on_sqlite, fill_sqlite, report)
            many_keys("PostgreSQL", on_postgres, fill_postgres, report)
        finally:
            for peer in reversed(started):
                peer.end()
