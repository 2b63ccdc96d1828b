"""The event log with three million records, in SQLite and PostgreSQL: how fast `gateway audit verify` reads it and in how much memory, how soon
a page of a filter is there while events are appended, and what changes and refusals of others cost accepted requests, beside another build
of the gateway. The records and their tree are computed here, by RFC 6962, and not by the program that verifies them."""

import hashlib
import http.client
import http.cookiejar
import json
import os
import re
import socket
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from bench_bombs import peak
from bench_gateway import Timings, wrk
from bench_peers import Direct, Ours
from bench_shared import Postgres

PASSWORD = "correct horse battery"
HERE = os.path.dirname(os.path.abspath(__file__))
RECORDS, QUICK_RECORDS = 3_000_000, 100_000
# Bits of a place of a hash: see src/gateway/store/sql/audit_log.rs.
LOG, LEVEL = 1 << 51, 48
COLUMNS = (
    "id", "at", "actor", "action", "subject", "detail", "address", "account_id", "account", "count", "last_at", "record",
    "code", "request", "log", "log_index",
)
OWNERS = [(f"00000000-0000-4000-8000-{number:012}", f"person-{number}") for number in range(500)]
# What a page is asked for.
FILTERS = [
    {"action": "key.revoked"},
    {"code": "unknown_key"},
    {"address": "192.0.2.77"},
    {"user": "person-123"},
    {"subject": "key_0000000000004711"},
    {"action": "key.created", "since": "2025-06-20", "until": "2025-06-22"},
    {"address": "192.0.2.77", "since": "2025-06-20", "until": "2025-06-22"},
]
COMBINED = [{"user": "person-7", "code": "unknown_key"}, {"action": "key.created", "address": "192.0.2.9", "user": "person-5"}]


class Tree:
    """The hash of each leaf, and of each complete subtree of 256, 65,536 and so on; and the right edge."""

    def __init__(self):
        self.size, self.edge = 0, []

    def append(self, record):
        """The places and hashes that are stored for it."""
        digest = hashlib.sha256(b"\0" + record).digest()
        index, level, stored = self.size, 0, [(LOG + self.size, digest)]
        while index & 1:
            digest = hashlib.sha256(b"\1" + self.edge.pop() + digest).digest()
            index, level = index >> 1, level + 1
            if level % 8 == 0:
                stored.append((LOG + (level // 8 << LEVEL) + index, digest))
        self.edge.append(digest)
        self.size += 1
        return stored

    def frontier(self):
        return struct.pack(">Q", self.size) + b"".join(self.edge)


def event(number):
    """The columns of a record after `log_index`, and its line. Of ten, six are changes, and four refusals of strangers."""
    at, (owner, name) = 1_750_000_000 + 4 * number, OWNERS[number % len(OWNERS)]
    request, address = f"{number:032x}", f"192.0.2.{number % 251}"
    origin = f'"address":"{address}"'
    if number % 10 < 6:
        action = ("key.created", "key.revoked")[number % 2]
        subject = f"key_{number:016}"
        line = (
            f'{{"format":1,"at":{at},"replica":"one","actor":{{"kind":"user","account":"{owner}","name":"{name}"}},{origin},'
            f'"action":"{action}","subject":"{subject}","account":{{"id":"{owner}","name":"{name}"}},"outcome":"done",'
            f'"details":{{"name":"nightly report","scopes":["inference"]}},"request":"{request}"}}'
        )
        return at, f"user:{name}", action, subject, address, owner, name, line, None, request
    subject = "(an unknown API key)"
    line = (
        f'{{"format":1,"at":{at},"replica":"one","actor":{{"kind":"gateway"}},{origin},"action":"credential.refused",'
        f'"subject":"{subject}","outcome":"refused","code":"unknown_key","details":{{"reason":"unknown API key"}},'
        f'"request":"{request}"}}'
    )
    return at, "gateway", "credential.refused", subject, address, None, None, line, "unknown_key", request


def rows(tree, first, count):
    """That many rows of events, with their hashes, after those that are there."""
    for number in range(count):
        at, actor, action, subject, address, owner, name, line, code, request = event(number)
        index = tree.size
        row = (
            first + number, at, actor, action, subject, "", address, owner, name, 1, None, line, code, request, 1, index,
        )
        yield row, tree.append(line.encode())


def filled_tree(records):
    tree = Tree()
    for record in records:
        tree.append(record.encode())
    return tree


# Which times the events have, as the gateway stores it: see migrations/sqlite/0014_event_indexes.sql.
TIMES = """INSERT INTO event_times SELECT id / 1024, min(at), max(coalesce(last_at, at)) FROM events
WHERE id < ((SELECT max(id) FROM events) / 1024 - 1) * 1024 GROUP BY id / 1024"""
BYTES = "UPDATE audit_logs SET bytes = (SELECT sum(octet_length(record)) FROM events)"


def fill_sqlite(path, count):
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA synchronous = OFF")
        there = database.execute("SELECT id, record FROM events ORDER BY log_index").fetchall()
        tree = filled_tree(record for _, record in there)
        indexes = database.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'events' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        marks, hashes = ",".join("?" * len(COLUMNS)), []

        def each():
            for row, stored in rows(tree, max(number for number, _ in there) + 1, count):
                hashes.extend(stored)
                yield row

        database.executemany(f"INSERT INTO events ({','.join(COLUMNS)}) VALUES ({marks})", each())
        database.executemany("INSERT INTO audit_hashes (place, hash) VALUES (?, ?)", hashes)
        database.execute("UPDATE audit_logs SET size = ?, frontier = ?", (tree.size, tree.frontier()))
        database.execute("UPDATE audit_logs SET bytes = (SELECT sum(length(CAST(record AS BLOB))) FROM events)")
        for _, sql in indexes:
            database.execute(sql)
        database.execute("DELETE FROM event_times")
        database.execute(TIMES)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def copied(value):
    """As COPY reads it."""
    if value is None:
        return "\\N"
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def copy(server, statement, lines):
    psql = [f"{server.programs}/psql", "-X", "-q", "-h", server.folder, "-U", "gate", "-d", "gate", "-v", "ON_ERROR_STOP=1"]
    with subprocess.Popen([*psql, "-c", statement], stdin=subprocess.PIPE, text=True, encoding="utf-8") as process:
        process.stdin.writelines(lines)
    if process.returncode != 0:
        sys.exit(f"{statement}: exit code {process.returncode}")


def fill_postgres(server, count):
    there = json.loads(server.sql("SELECT json_agg(record ORDER BY log_index) FROM events", "gate"))
    first = int(server.sql("SELECT max(id) FROM events", "gate")) + 1
    indexes = server.sql(
        "SELECT indexname || '|' || indexdef FROM pg_indexes WHERE tablename = 'events' AND indexname <> 'events_pkey'", "gate"
    )
    indexes = [line.split("|", 1) for line in indexes.splitlines()]
    for name, _ in indexes:
        server.sql(f"DROP INDEX {name}", "gate")
    tree, hashes = filled_tree(there), []

    def each():
        for row, stored in rows(tree, first, count):
            hashes.extend(stored)
            yield "\t".join(map(copied, row)) + "\n"

    copy(server, f"COPY events ({','.join(COLUMNS)}) FROM STDIN", each())
    copy(server, "COPY audit_hashes (place, hash) FROM STDIN", (f"{place}\t\\\\x{digest.hex()}\n" for place, digest in hashes))
    server.sql(f"UPDATE audit_logs SET size = {tree.size}, frontier = '\\x{tree.frontier().hex()}'", "gate")
    server.sql(f"SELECT setval(pg_get_serial_sequence('events', 'id'), {first + count})", "gate")
    for _, sql in indexes:
        server.sql(sql, "gate")
    for statement in (BYTES, "DELETE FROM event_times", TIMES, "VACUUM ANALYZE"):
        server.sql(statement, "gate")


def verify(gateway, size):
    """Seconds, and the most memory in MiB."""
    args = [gateway.binary, "gateway", "audit", "verify", "--json", *gateway.database]
    most, began = 0.0, time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen(args, env=gateway.env, stdout=output) as process:
            # What the system says at the end counts this interpreter, too, which the process was before exec.
            while process.poll() is None:
                try:
                    most = max(most, peak(process.pid))
                except (OSError, StopIteration):
                    break
                time.sleep(0.01)
        took = time.monotonic() - began
        output.seek(0)
        found = output.read()
    if process.returncode != 0 or json.loads(found)["logs"][0]["size"] < size:
        sys.exit(f"verify: exit code {process.returncode}: {found[:1000]}")
    return took, most


def verifying(engine, gateway, count, rounds, least, report):
    verify(gateway, count)  # so that the files are in the system's cache
    measured = [verify(gateway, count) for _ in range(rounds)]
    rate, memory = count / statistics.median(took for took, _ in measured), max(most for _, most in measured)
    report.goal(f"verify {count} records, {engine}", f"{rate:.0f} records/s", f"at least {least}", rate >= least)
    report.row(f"the same: most memory, {engine}", f"{memory:.1f} MiB", "at most 64", memory <= 64)


class Load(threading.Thread):
    """Requests at a steady rate on one connection, in batches whose answers are read before the next one."""

    def __init__(self, gateway, rate, request, batch=1):
        super().__init__(daemon=True)
        self.request, self.batch, self.pause = request, batch, batch / rate
        self.connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=60)
        self.over, self.sent, self.began, self.statuses = threading.Event(), 0, 0.0, {}

    def run(self):
        self.began = due = time.monotonic()
        answers = self.connection.makefile("rb")
        while not self.over.is_set():
            self.connection.sendall(b"".join(self.request() for _ in range(self.batch)))
            for _ in range(self.batch):
                self.read(answers)
            self.sent += self.batch
            due += self.pause
            time.sleep(max(0, due - time.monotonic()))

    def read(self, answers):
        status, length = answers.readline().split(b" ")[1], 0
        self.statuses[status] = self.statuses.get(status, 0) + 1
        while (line := answers.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        answers.read(length)

    def end(self):
        """How many a second there were."""
        self.over.set()
        self.join()
        self.connection.close()
        return self.sent / (time.monotonic() - self.began)


def head(method, path, header, body=b""):
    text = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\nContent-Length: {len(body)}\r\n\r\n"
    return text.encode() + body


def changes(gateway, rate):
    """Keys that a key of a person makes. An account may make 6,000 at once."""
    body = b'{"name":"load","scopes":["models:read"]}'
    request = head("POST", "/api/user/keys", gateway.manager, body)
    return Load(gateway, rate, lambda: request)


def make_manager(gateway):
    key = gateway.run("keys", "create", "manager", "--scope", "inference,models:read,keys", "--expires", "never")
    gateway.manager = f"Authorization: Bearer {key}"


class Browser:
    """A browser in which ada is signed in, on one connection."""

    def __init__(self, gateway):
        gateway.run("gateway", "user", "role", "ada", "admin", *gateway.database)
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
        text = opener.open(f"{gateway.url}/login").read().decode()
        form = dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"', text))
        form |= {"name": "ada", "password": PASSWORD}
        opener.open(f"{gateway.url}/login", urllib.parse.urlencode(form).encode()).read()
        self.cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
        self.connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)

    def show(self, wanted):
        """Milliseconds until the page of these filters is there."""
        path = "/admin/audit?" + urllib.parse.urlencode(wanted)
        began = time.monotonic()
        self.connection.request("GET", path, headers={"Cookie": self.cookies})
        answer = self.connection.getresponse()
        text = answer.read()
        took = (time.monotonic() - began) * 1000
        if answer.status != 200 or b"/admin/audit" not in text:
            sys.exit(f"{path}: {answer.status} {text[:500]}")
        return took


def pages(engine, gateway, quick, report):
    """The page of administrators, while events are appended."""
    browser, loads = Browser(gateway), [changes(gateway, 50) for _ in range(4)]
    for load in loads:
        load.start()
    times, count = {}, 20 if quick else 100
    try:
        for _ in range(count):
            for wanted in [*FILTERS, *COMBINED]:
                times.setdefault(json.dumps(wanted), []).append(browser.show(wanted))
    finally:
        rate = sum(load.end() for load in loads)
    print(f"\npages of the event log, {engine}, at {rate:.0f} appends/s (ms, {count} of each)")
    for wanted, took in times.items():
        took.sort()
        print(f"  {wanted:<76} median {took[len(took) // 2]:7.2f}   p99 {took[int(len(took) * 0.99) - 1]:7.2f}")
    report.note(f"events appended meanwhile, {engine}", f"{rate:.0f} a second", "200")
    for what, filters in (("one filter", FILTERS), ("several filters", COMBINED)):
        every = sorted(took for wanted in filters for took in times[json.dumps(wanted)])
        p99 = every[int(len(every) * 0.99) - 1]
        if filters is FILTERS:
            report.goal(f"a page of {what}, {engine}, p99", f"{p99:.1f} ms", "at most 20", p99 <= 20)
        else:
            report.note(f"a page of {what}, {engine}, p99", f"{p99:.1f} ms", "")


def beside(binaries, folder, direct, rounds, seconds, report):
    """Accepted requests, while others cause 50 changes and 2,000 refusals a second, of two builds of the gateway."""
    gateways, rate = [], Timings("GET /api/tags, 64 connections, with changes and refusals", "requests/s")
    try:
        for name, binary in binaries:
            place = os.path.join(folder, name)
            os.mkdir(place)
            gateways.append(Ours(binary, place, direct.url, name=name))
            gateways[-1].make_credentials()
            make_manager(gateways[-1])
        refused = head("GET", "/api/tags", "Authorization: Bearer olauth_unknown")
        for number in range(rounds + 1):
            for gateway in gateways:
                loads = [changes(gateway, 50), Load(gateway, 2000, lambda: refused, 40)]
                for load in loads:
                    load.start()
                per_second, _ = wrk(f"{gateway.url}/api/tags", gateway.header, 64, seconds if number else 1)
                made = [load.end() for load in loads]
                if number:
                    rate.add(gateway.name, per_second)
                    print(f"  {gateway.name}: {made[0]:.0f} changes/s, {made[1]:.0f} refusals/s: {loads[0].statuses}")
    finally:
        for gateway in gateways:
            gateway.end()
    rate.show()
    ratio = rate.ratio("now", "before")
    report.row("accepted requests/s beside changes and refusals", f"{ratio:.3f} x before", "at least 0.97", ratio >= 0.97)


def bench(binary, against, quick, report):
    count, rounds = (QUICK_RECORDS, 2) if quick else (RECORDS, 3)
    started = []
    with tempfile.TemporaryDirectory(prefix="ollama-auth-bench-") as folder:
        os.chmod(folder, 0o711)
        try:
            wire = os.path.join(folder, "wire")
            subprocess.run(["cc", "-O2", "-o", wire, os.path.join(HERE, "bench_wire.c")], check=True)
            direct = Direct(wire)
            started.append(direct)
            if against:
                beside([("now", binary), ("before", against)], folder, direct, 2 if quick else 9, 1 if quick else 3, report)
            else:
                report.note("accepted requests/s beside changes and refusals", "not measured: give --against FILE", "")
            place = os.path.join(folder, "sqlite")
            os.mkdir(place, 0o700)
            gateway = Ours(binary, place, direct.url)
            gateway.make_credentials()
            make_manager(gateway)
            gateway.end()
            fill_sqlite(os.path.join(place, "gateway.db"), count)
            verifying("SQLite", gateway, count, rounds, 200_000, report)
            gateway.start()
            started.append(gateway)
            pages("SQLite", gateway, quick, report)
            started.pop().end()
            # Two databases of that size need not be there at once.
            os.remove(os.path.join(place, "gateway.db"))

            place = os.path.join(folder, "pg")
            os.mkdir(place, 0o700)
            server = Postgres(place)
            started.append(server)
            place = os.path.join(folder, "one")
            os.mkdir(place, 0o700)
            secret = os.path.join(folder, "secret")
            with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
                file.write("x" * 32)
            more = ["--set", f"secret-file={secret}"]
            gateway = Ours(binary, place, direct.url, database=server.database("gate"), more=more)
            gateway.make_credentials()
            make_manager(gateway)
            gateway.end()
            fill_postgres(server, count)
            verifying("PostgreSQL", gateway, count, rounds, 100_000, report)
            gateway.start()
            started.append(gateway)
            pages("PostgreSQL", gateway, quick, report)
        finally:
            for peer in reversed(started):
                peer.end()
