"""The loopback server of scripts/bench. Every answer is computed beforehand and sent in one call, so that what is
measured is the client. The number of chunks is part of the model's name (`bench-3`); `gated` stops after the first line
until somebody asks for `/gate`, which answers when that line was sent (ns of CLOCK_MONOTONIC)."""

import json
import os
import re
import socket
import sys
import threading
import time

FIXTURES = os.path.join(os.path.dirname(__file__), "../tests/it/fixtures/ollama-serve.json")
with open(FIXTURES, encoding="utf-8") as file:
    RECORDED = {e["name"]: e["response"]["chunks"] for e in json.load(file)["exchanges"]}
# The lines of a recorded answer: one that is repeated, and the last one with its figures.
LINE = RECORDED["generate"][0]
LAST = RECORDED["generate"][-1]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
STREAM = HEAD % b"application/x-ndjson" + b"Transfer-Encoding: chunked\r\n\r\n"


def text_of(count):
    """What a client is to print for that many chunks."""
    last = json.loads(LAST)["response"]
    return json.loads(LINE)["response"] * (count - 1) + last


def whole(body, kind=b"application/json; charset=utf-8"):
    return HEAD % kind + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunk(line):
    data = line.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


class Server:
    def __init__(self):
        self.root = whole(b"Ollama is running", b"text/plain; charset=utf-8")
        self.show = whole("".join(RECORDED["show"]).encode())
        self.streams = {}
        self.gate = threading.Event()
        self.sent = 0

    def stream(self, count):
        if count not in self.streams:
            self.streams[count] = STREAM + chunk(LINE) * (count - 1) + chunk(LAST) + b"0\r\n\r\n"
        return self.streams[count]

    def answer(self, connection, method, path, body):
        path = path.split("?")[0]
        if (method, path) == ("HEAD", "/"):
            connection.sendall(self.root.split(b"\r\n\r\n")[0] + b"\r\n\r\n")
        elif (method, path) == ("GET", "/"):
            connection.sendall(self.root)
        elif (method, path) == ("POST", "/api/show"):
            connection.sendall(self.show)
        elif (method, path) == ("GET", "/gate"):
            # Answered before it opens: the driver is not to wait behind the rest of the stream.
            connection.sendall(whole(str(self.sent).encode()))
            self.gate.set()
        elif (method, path) == ("POST", "/api/generate"):
            model = json.loads(body)["model"]
            if model.startswith("gated"):
                self.gate.clear()
                data = STREAM + chunk(LINE)
                self.sent = time.monotonic_ns()
                connection.sendall(data)
                self.gate.wait(20)
                connection.sendall(chunk(LINE) + chunk(LAST) + b"0\r\n\r\n")
            else:
                connection.sendall(self.stream(int(re.search(r"\d+", model)[0])))
        else:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        try:
            while True:
                while b"\r\n\r\n" not in data:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                head, data = data.split(b"\r\n\r\n", 1)
                lines = head.decode().split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                length = int(headers.get("content-length", 0))
                while len(data) < length:
                    more = connection.recv(65536)
                    if not more:
                        return
                    data += more
                body, data = data[:length], data[length:]
                self.answer(connection, method, path, body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a client that left
        finally:
            connection.close()


def main():
    server = Server()
    for count in map(int, sys.argv[1:]):
        server.stream(count)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=server.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
