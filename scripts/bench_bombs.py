"""Small requests that are expensive to read: 18 of them under 2 KB, six at a time, from a key that is limited to one model, while another
account makes ordinary requests. How much longer that account waits, and how much memory the gateway takes. Then what an ordinary request of
a model-limited key costs beside one of an unlimited key."""

import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench_gateway import Timings, wrk
from bench_peers import Direct, Ours

HERE = os.path.dirname(os.path.abspath(__file__))
BLOCK = 128 * 1024
COUNT, AT_A_TIME = 18, 6
MODEL = "bulk-1"
BODY = '{"model":"bulk-1","prompt":"hi","end":1}'


def block(kind, size, content, last=False):
    return (int(last) | kind << 1 | size << 3).to_bytes(3, "little") + content


def frame(*blocks):
    """A frame of zstd (RFC 8878) with a window of 2 MiB."""
    return b"\x28\xb5\x2f\xfd\x00\x58" + b"".join(blocks)


def raw(content, last=False):
    return block(0, len(content), content, last)


def run(byte, blocks):
    """So many blocks of 128 KiB that hold one byte, in four bytes each."""
    return block(1, BLOCK, byte) * blocks


def repeated(text, blocks):
    """The same of a text that repeats itself: one sequence per block, with the tables of a single symbol."""
    out = b""
    offset = len(text) + 3
    code = offset.bit_length() - 1
    for at in range(blocks):
        literals = text if at == 0 else b""
        match = BLOCK - len(literals) - 65539
        bits = (1 << code | (offset - (1 << code))) << 16 | match
        sequence = bytes([1, 0x54, len(literals), code, 52]) + bits.to_bytes((bits.bit_length() + 7) // 8, "little")
        content = bytes([len(literals) << 3]) + literals + sequence
        out += block(2, len(content), content)
    return out


def bombs(key):
    """Their names and the requests."""
    start = b'{"model":"%s",' % MODEL.encode()
    form = b'--X\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n' % MODEL.encode()
    form += b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    shapes = {
        "many members": ("/api/generate", "application/json", frame(raw(start), repeated(b'"":0,', 127), raw(b'"":0}', True))),
        "deep nesting": ("/api/generate", "application/json", frame(raw(start + b'"a":'), run(b"[", 127), raw(b"0", True))),
        "a form": ("/v1/audio/transcriptions", "multipart/form-data; boundary=X", frame(raw(form), run(b"\0", 440), raw(b"\r\n--X--\r\n", True))),
    }
    for name, (path, kind, body) in shapes.items():
        if len(body) >= 2048:
            sys.exit(f"{name}: {len(body)} bytes")
        headers = {"Authorization": f"Bearer {key}", "Content-Type": kind, "Content-Encoding": "zstd"}
        yield name, (path, body, headers)


class Account(Ours):
    """Another person at the same gateway."""

    def __init__(self, gateway, name):
        self.binary, self.database, self.url = gateway.binary, gateway.database, gateway.url
        home = os.path.join(gateway.folder, name)
        os.mkdir(home)
        self.env = gateway.env | {"HOME": home}
        self.run("gateway", "user", "add", name, *self.database, stdin="correct horse battery\n")
        sign_in = ["signin", "--host", self.url, "--no-wait"]
        self.run("gateway", "approve", self.run(*sign_in, codes=(4,)), "--user", name, *self.database)
        self.run(*sign_in)

    def key(self, name, *more):
        return self.run("keys", "create", name, "--scope", "inference,models:read", *more)


def peak(pid, reset=False):
    """The most memory since the last reset, in MiB."""
    if reset:
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


class Caller(threading.Thread):
    """Makes one ordinary request after the other, and keeps the longest time that one took, in ms."""

    def __init__(self, port, key):
        super().__init__()
        self.longest, self.failure, self.over = 0, None, threading.Event()
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def run(self):
        try:
            self.ask()
        except (OSError, http.client.HTTPException) as error:
            self.failure = error

    def ask(self):
        while not self.over.is_set():
            began = time.monotonic()
            self.connection.request("POST", "/api/generate", BODY, self.headers)
            answer = self.connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise http.client.HTTPException(f"status {answer.status}")
            self.longest = max(self.longest, (time.monotonic() - began) * 1000)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        if self.failure:
            sys.exit(f"an ordinary request failed: {self.failure}")


def send(port, bomb):
    path, body, headers = bomb
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", path, body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def attack(gateway, bomb, other):
    """The statuses, the longest wait of the other caller, the time of the attack, and the memory."""
    before = peak(gateway.process.pid, reset=True)
    with Caller(gateway.port, other) as caller:
        began = time.monotonic()
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            statuses = set(pool.map(lambda _: send(gateway.port, bomb), range(COUNT)))
        took = time.monotonic() - began
    return statuses, caller.longest, took, peak(gateway.process.pid) - before


def calm(gateway, seconds, other):
    with Caller(gateway.port, other) as caller:
        time.sleep(seconds)
    return caller.longest


def ordinary(gateway, limited, unlimited, quick, report):
    """Requests a second of a model-limited key, as a part of what an unlimited one of the same account does."""
    script = os.path.join(gateway.folder, "post.lua")
    with open(script, "w", encoding="ascii") as file:
        file.write(f"wrk.method = 'POST' wrk.body = '{BODY}' wrk.headers['Content-Type'] = 'application/json'")
    rate = Timings("POST /api/generate, 16 connections", "requests/s")
    for number in range(2 if quick else 7):
        for name, key in (("limited key", limited), ("unlimited key", unlimited)):
            header = f"Authorization: Bearer {key}"
            per_second, _ = wrk(f"{gateway.url}/api/generate", header, 16, 1 if quick else 3, script)
            if number:
                rate.add(name, per_second)
    rate.show()
    report.note("an ordinary request of a model-limited key", f"{rate.ratio('limited key', 'unlimited key'):.2f} x unlimited", "")


def bench(binary, quick, report):
    started = []
    with tempfile.TemporaryDirectory(prefix="ollama-auth-bench-") as folder:
        try:
            wire = os.path.join(folder, "wire")
            subprocess.run(["cc", "-O2", "-o", wire, os.path.join(HERE, "bench_wire.c")], check=True)
            direct = Direct(wire)
            started.append(direct)
            gateway = Ours(binary, folder, direct.url)
            started.append(gateway)
            ada, bob = Account(gateway, "ada"), Account(gateway, "bob")
            limited = ada.key("limited", "--model", MODEL)
            other = bob.key("other", "--model", MODEL)
            calm(gateway, 1, other)
            for name, bomb in bombs(limited):
                waits, grown = [], []
                for _ in range(1 if quick else 5):
                    statuses, longest, took, memory = attack(gateway, bomb, other)
                    undisturbed = calm(gateway, max(took, 0.2), other)
                    print(f"{name}: {len(bomb[1])} bytes, answered {statuses} in {took * 1000:.0f} ms; the other caller waits at most "
                          f"{longest:.1f} ms (otherwise {undisturbed:.1f} ms); {memory:.1f} MiB more")
                    waits.append(longest - undisturbed)
                    grown.append(memory)
                longer = sorted(waits)[len(waits) // 2]
                report.row(f"{COUNT} x {name}: others wait longer", f"{longer:.1f} ms", "50 ms", longer < 50)
                report.row(f"{COUNT} x {name}: memory grows", f"{max(grown):.1f} MiB", "64 MiB", max(grown) < 64)
            ordinary(gateway, limited, ada.key("unlimited"), quick, report)
        finally:
            for peer in reversed(started):
                peer.end()
