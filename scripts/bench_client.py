"""How fast the client is, against /bin/true, curl and stock `ollama run` (from scripts/stock), on one loopback server. Runs are
interleaved; the limits of the table have to be kept."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import bench_server

HERE = os.path.dirname(os.path.abspath(__file__))
SMALL, MIDDLE, LARGE = 3, 30_000, 300_000
# Memory that comes and goes by chance between two runs of equal work.
GROWTH_KIB = 512


class Program:
    """A command line, and what its runs measured."""

    def __init__(self, name, args, out="/dev/null", env=None):
        self.name, self.args, self.out, self.env = name, args, out, env
        self.wall, self.cpu = [], []

    def files(self):
        write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        return [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, self.out, write, 0o600),
            (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        ]

    def run(self, keep=True):
        began = time.monotonic()
        pid = os.posix_spawn(self.args[0], self.args, self.env, file_actions=self.files())
        _, status, usage = os.wait4(pid, 0)
        wall = time.monotonic() - began
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            sys.exit(f"{' '.join(self.args)}: exit code {code}")
        if keep:
            self.wall.append(wall * 1000)
            self.cpu.append((usage.ru_utime + usage.ru_stime) * 1000)

    def peak(self, runs=3):
        """The median of peak memory, in KiB. Linux counts what a process was before exec as its own peak, and this
        interpreter is bigger than what is measured: so a small shell forks the program and leaves it to us."""
        peaks = []
        for _ in range(runs):
            shell = ["/bin/sh", "-c", '"$@" & echo $! >&3', "sh", *self.args]
            read, write = os.pipe()
            files = self.files() + [(os.POSIX_SPAWN_DUP2, write, 3)]
            helper = os.posix_spawn("/bin/sh", shell, self.env, file_actions=files)
            os.close(write)
            with open(read, encoding="ascii") as pipe:
                pid = int(pipe.readline())
            os.waitpid(helper, 0)
            _, status, usage = os.wait4(pid, 0)
            if status != 0:
                sys.exit(f"{' '.join(self.args)}: exit code {os.waitstatus_to_exitcode(status)}")
            peaks.append(usage.ru_maxrss)
        return statistics.median(peaks)


def interleave(programs, runs):
    for program in programs:
        program.run(keep=False)
    for _ in range(runs):
        for program in programs:
            program.run()


def show(title, programs, figure):
    print(f"\n{title} ({figure}, ms, {len(programs[0].wall)} interleaved runs)")
    for program in programs:
        values = getattr(program, figure)
        print(
            f"  {program.name:<24} median {statistics.median(values):9.2f}"
            f"   min {min(values):9.2f}   max {max(values):9.2f}"
        )


def first_token(program, url, runs):
    """ms from the server's sending of line 1 to its arrival on the program's stdout, while the server sends no more.
    None when nothing arrives."""
    times = []
    for _ in range(runs):
        child = subprocess.Popen(
            program.args,
            env=program.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        os.set_blocking(child.stdout.fileno(), False)
        arrived, end = None, time.monotonic() + 5
        while arrived is None and time.monotonic() < end:
            # Asked without pause: what is measured is shorter than a pause.
            if child.stdout.read(65536):
                arrived = time.monotonic_ns()
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{url}/gate", timeout=20) as answer:
            sent = int(answer.read())
        os.set_blocking(child.stdout.fileno(), True)
        child.stdout.read()
        child.stdout.close()
        child.wait(20)
        if arrived is None:
            return None
        times.append((arrived - sent) / 1e6)
    return times


def measure(binary, stock_path, url, home, count, report):
    runs_version, runs_small, runs_large, runs_token = count
    base = {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8"}
    env = base | {"OLLAMA_HOST": url, "OLLAMA_NOHISTORY": "1"}
    out = os.path.join(home, "out")
    curl_path = shutil.which("curl")

    def ours(model):
        return Program("ollama-auth run", [binary, "run", model, "hi"], out, env)

    def curl(model, *more):
        body = f'{{"model":"{model}","prompt":"hi"}}'
        args = [curl_path, "-sS", *more, "-d", body, f"{url}/api/generate"]
        return Program("curl", args, env=base)

    def stock(model):
        return Program("ollama run", [stock_path, "run", model, "hi"], out, env)

    def check(count):
        ours(f"bench-{count}").run()
        with open(out, encoding="utf-8") as file:
            if not file.read().startswith(bench_server.text_of(count)):
                sys.exit(f"ollama-auth run did not print the {count} chunks that it was sent")

    version = Program("ollama-auth --version", [binary, "--version"], env=env)
    true = Program("/bin/true", [shutil.which("true")], env=env)
    interleave([version, true], runs_version)
    show("--version", [version, true], "wall")
    report.ratio("--version, wall", version, true, "wall", 2)

    for count in (SMALL, LARGE):
        check(count)
    small = [ours(f"bench-{SMALL}"), curl(f"bench-{SMALL}", "-o", "/dev/null")]
    small.append(stock(f"bench-{SMALL}"))
    interleave(small, runs_small)
    show(f"one-shot run, {SMALL} chunks", small, "wall")
    report.ratio(f"run, {SMALL} chunks, wall", small[0], small[1], "wall", 0.6)
    peak = small[0].peak()
    report.row(f"run, {SMALL} chunks, peak", f"{peak / 1024:.1f} MiB", "12 MiB", peak <= 12 * 1024)

    large = [ours(f"bench-{LARGE}"), curl(f"bench-{LARGE}", "-o", "/dev/null")]
    large.append(stock(f"bench-{LARGE}"))
    interleave(large, runs_large)
    for figure in ("wall", "cpu"):
        show(f"one-shot run, {LARGE} chunks", large, figure)
    report.ratio(f"run, {LARGE} chunks, CPU", large[0], large[1], "cpu", 5)
    report.ratio(f"run, {LARGE} chunks, CPU", large[0], large[2], "cpu", 1 / 15)
    peak, middle = large[0].peak(), ours(f"bench-{MIDDLE}").peak()
    report.row(f"run, {LARGE} chunks, peak", f"{peak / 1024:.1f} MiB", "12 MiB", peak <= 12 * 1024)
    report.row(
        f"peak at {LARGE} above that at {MIDDLE}",
        f"{peak - middle:.0f} KiB",
        f"{GROWTH_KIB} KiB",
        peak - middle <= GROWTH_KIB,
    )

    # Alternating as well: curl, ours, curl, ours …
    got = {"curl": [], "ours": []}
    for _ in range(runs_token):
        for name, program in (("curl", curl("gated", "-N")), ("ours", ours("gated"))):
            times = first_token(program, url, 1)
            if times is None:
                report.row("first token, before the server goes on", "held back", "seen", False)
                return
            got[name] += times
    print(f"\nfirst token: server's send to our stdout (ms, {runs_token} interleaved runs)")
    for name, values in got.items():
        print(
            f"  {name:<24} median {statistics.median(values):9.3f}"
            f"   min {min(values):9.3f}   max {max(values):9.3f}"
        )
    median = statistics.median(got["ours"])
    report.row("first token, before the server goes on", f"seen after {median:.2f} ms", "seen", True)


def bench(binary, quick, report):
    for tool in ("curl", "true"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not on PATH")
    stock = subprocess.run([os.path.join(HERE, "stock")], stdout=subprocess.PIPE, text=True, check=False)
    if stock.returncode != 0:
        sys.exit("scripts/stock could not provide ollama")
    stock_path = stock.stdout.splitlines()[-1]
    server = subprocess.Popen(
        [sys.executable, os.path.join(HERE, "bench_server.py"), *map(str, (SMALL, MIDDLE, LARGE))],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        count = (30, 15, 3, 3) if quick else (200, 60, 11, 15)
        with tempfile.TemporaryDirectory(prefix="ollama-auth-bench-") as home:
            measure(binary, stock_path, url, home, count, report)
    finally:
        server.kill()
        server.wait()
