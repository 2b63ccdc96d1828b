"""What metrics and access log cost: a gateway with both beside one without, each with 10,000 keys. Requests a second and CPU per request of a
list and of a chat; and how long a scrape takes while there are 1,000 streams, and after 10,000 names of models that strangers and callers asked
for."""

import http.client
import os
import re
import subprocess
import tempfile
import time

from bench_gateway import HERE, POST, STREAMS, Timings, wrk
from bench_peers import Direct, Ours, free_port

KEYS, MODELS = 10_000, 10_000
LONGEST_SCRAPE, MOST_BYTES = 20, 256 * 1024


def scrape(port):
    """Milliseconds until the last byte, and the bytes."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1000
    connection.close()
    assert answer.status == 200, answer.status
    return took, body


def requests(pair, folder, seconds, rounds, report):
    script = os.path.join(folder, "post.lua")
    with open(script, "w", encoding="ascii") as file:
        file.write(POST)
    for what, path, script_of in [("GET /api/tags", "/api/tags", None), ("POST /api/chat", "/api/chat", script)]:
        rate, cpu = Timings(f"{what}, metrics and access log", "requests/s"), Timings("the same: CPU", "µs/request")
        for number in range(rounds + 1):
            for peer in pair:
                before = peer.cpu()
                per_second, _ = wrk(peer.url + path, peer.header, 64, seconds, script_of)
                if number:
                    rate.add(peer.name, per_second)
                    cpu.add(peer.name, (peer.cpu() - before) / (per_second * seconds) * 1e6)
        rate.show()
        cpu.show()
        ratio = rate.ratio("on", "off")
        report.row(f"{what}, metrics and log: requests/s", f"{ratio:.3f} x without", "at least 0.97", ratio >= 0.97)
        ratio = cpu.ratio("on", "off")
        report.row(f"{what}, metrics and log: CPU per request", f"{ratio:.3f} x without", "at most 1.05", ratio <= 1.05)


def ask_for_models(peer, folder):
    """Half of them without a credential, half with one; the upstream server knows none of these."""
    for number, header in enumerate([None, peer.header]):
        file = os.path.join(folder, f"models-{number}")
        with open(file, "w", encoding="ascii") as out:
            for model in range(MODELS // 2):
                out.write("next\n" if model else "")
                out.write(f'url = "{peer.url}/api/chat"\noutput = "/dev/null"\nnoproxy = "*"\n')
                out.write(f'data = "{{\\"model\\":\\"stranger-{number}-{model}\\",\\"messages\\":[]}}"\n')
                out.write(f'header = "{header}"\n' if header else "")
        subprocess.run(["curl", "-sS", "-K", file], check=True)


def scrapes(peer, port, wire, rounds, folder, report):
    took = Timings(f"a scrape during {STREAMS} streams", "ms")
    for _ in range(rounds):
        args = [wire, "streams", str(peer.port), str(STREAMS), peer.header, "paced-50"]
        with subprocess.Popen(args, stdout=subprocess.PIPE, text=True) as streams:
            while streams.poll() is None:
                took.add("gateway", scrape(port)[0])
                time.sleep(0.05)
            assert '"failed":0' in streams.stdout.read()
    took.show()
    median = took.median("gateway")
    report.row(f"a scrape during {STREAMS} streams: median", f"{median:.1f} ms", f"at most {LONGEST_SCRAPE} ms", median <= LONGEST_SCRAPE)
    ask_for_models(peer, folder)
    after = Timings(f"a scrape after {MODELS} names of models", "ms")
    for _ in range(10 * rounds):
        milliseconds, body = scrape(port)
        after.add("gateway", milliseconds)
    after.show()
    median, size = after.median("gateway"), len(body)
    report.row("the same after 10,000 names of models", f"{median:.1f} ms", f"at most {LONGEST_SCRAPE} ms", median <= LONGEST_SCRAPE)
    report.row("the same: bytes", f"{size / 1024:.0f} KiB", "at most 256 KiB", size <= MOST_BYTES)
    models = {model for model in re.findall(rb'model="([^"]*)"', body)}
    report.row("the same: models", f"{len(models)}", "at most 51", len(models) <= 51)


def bench(binary, quick, report):
    with tempfile.TemporaryDirectory() as folder:
        started = []
        try:
            wire = os.path.join(folder, "wire")
            subprocess.run(["cc", "-O2", "-o", wire, os.path.join(HERE, "bench_wire.c")], check=True)
            direct, port = Direct(wire), free_port()
            started.append(direct)
            log = os.path.join(folder, "access.log")
            settings = ["--set", f"metrics-listen=127.0.0.1:{port}", "--set", f"access-log={log}"]
            pair = []
            for name, more in [("off", []), ("on", settings)]:
                place = os.path.join(folder, name)
                os.mkdir(place)
                pair.append(Ours(binary, place, direct.url, name=name, more=more))
                started.append(pair[-1])
                pair[-1].make_credentials()
                pair[-1].fill(KEYS)
            rounds, seconds = (2, 1) if quick else (7, 3)
            requests(pair, folder, seconds, rounds, report)
            scrapes(pair[1], port, wire, min(rounds, 3), folder, report)
        finally:
            for peer in reversed(started):
                peer.end()
