"""What a conversation costs while an answer streams: a paced server of 2,000 chunks a second, and the share of one core that the program
takes in a pseudo-terminal of 80 columns, with wrapping on."""

import http.server
import json
import os
import pty
import re
import select
import sys
import tempfile
import threading
import time

RATE = 2000
WORDS = "the quick brown fox jumps over the lazy dog and runs on through the wood ".split()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path == "/api/show":
            return self.whole({"capabilities": ["completion"]})
        if self.path != "/api/chat" or "messages" not in body:
            return self.whole({"done": True})
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        start = time.monotonic()
        for n in range(RATE * self.server.seconds):
            word = WORDS[n % len(WORDS)] + " "
            line = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": word}, "done": False}
            self.wfile.write(json.dumps(line).encode() + b"\n")
            self.wfile.flush()
            wait = start + (n + 1) / RATE - time.monotonic()
            if wait > 0:
                time.sleep(wait)
        self.wfile.write(b'{"message":{"role":"assistant","content":"END"},"done":true}\n')

    def whole(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def ticks(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return [int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:13]]


def bench(binary, quick, report):
    seconds = 3 if quick else 10
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seconds = seconds
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder = tempfile.TemporaryDirectory()
    home = folder.name
    pid, terminal = pty.fork()
    if pid == 0:
        env = {"HOME": home, "TERM": "xterm-256color", "LANG": "C.UTF-8", "OLLAMA_HOST": f"http://127.0.0.1:{server.server_port}"}
        os.execve(binary, [binary, "run", "m"], env)

    def until(mark):
        seen = b""
        while not re.search(mark, seen):
            if not select.select([terminal], [], [], 60)[0]:
                sys.exit("nothing comes from the program")
            seen = seen[-200:] + os.read(terminal, 65536)

    until(b">>> ")
    before, start = ticks(pid), time.monotonic()
    os.write(terminal, b"go\r")
    until(b"END")
    after, took = ticks(pid), time.monotonic() - start
    user, system = (then - first for first, then in zip(before, after))
    used = user + system
    os.write(terminal, b"/bye\r")
    _, status = os.waitpid(pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"the conversation ended with {status}")
    server.shutdown()
    share = 100 * used / took
    print(f"chat: {RATE * seconds / took:.0f} chunks/s for {took:.1f} s: {used:.2f} s of CPU ({user:.2f} user, {system:.2f} system)")
    report.row(f"chat, {RATE} chunks a second, wrapped", f"{share:.1f} % of a core", "10 %", share <= 10)
