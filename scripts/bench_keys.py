"""How long `keys list` takes with 10,000 keys beside one, against a real gateway, in interleaved runs; the table and `--json`; and what one
rotation takes."""

import hashlib
import json
import os
import re
import secrets
import sqlite3
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from bench_client import Program

KEYS = 10_000
PASSWORD = "correct horse battery"


class Gateway:
    """One gateway with a device of ada's that manages her keys."""

    def __init__(self, binary, folder, keys):
        self.binary, self.folder, self.url = binary, folder, None
        self.database = os.path.join(folder, "gateway", "gateway.db")
        self.env = {
            "HOME": folder,
            "XDG_CONFIG_HOME": os.path.join(folder, "config"),
            "XDG_DATA_HOME": os.path.join(folder, "data"),
            "OLLAMA_AUTH_STORE": "plaintext",
            "PATH": os.environ.get("PATH", ""),
        }
        self.start("127.0.0.1:0")
        self.run("gateway", "user", "add", "ada", "--database", self.database, text=PASSWORD + "\n")
        link = self.run("signin", "--host", self.url, "--no-wait", code=4).strip()
        self.run("gateway", "approve", link, "--user", "ada", "--database", self.database)
        self.run("signin", "--host", self.url, "--no-wait")
        if keys > 1:
            self.stop()
            self.fill(keys)
            self.start(self.url.removeprefix("http://"))

    def run(self, *args, code=0, text=""):
        done = subprocess.run([self.binary, *args], env=self.env, input=text, capture_output=True, text=True, check=False)
        if done.returncode != code:
            raise SystemExit(f"{args}: exit code {done.returncode}\n{done.stderr}")
        return done.stdout

    def start(self, listen):
        args = [self.binary, "gateway", "serve", "--json", "--listen", listen, "--database", self.database]
        self.process = subprocess.Popen(
            [*args, "--upstream", "http://127.0.0.1:9"], env=self.env, stderr=subprocess.PIPE, text=True
        )
        for line in self.process.stderr:
            found = re.search(r'"event":"listening".*"url":"([^"]+)"', line)
            if found:
                self.url = found.group(1)
                break
        # What it says later must not fill the pipe.
        self.reader = ThreadPoolExecutor(1)
        self.reader.submit(self.process.stderr.read)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.reader.shutdown()

    def fill(self, keys):
        """Writes them where the gateway keeps them: asking for each would take longer than all that is measured."""
        now = int(time.time())
        with sqlite3.connect(self.database) as database:
            (user,) = database.execute("SELECT id FROM users").fetchone()
            rows = []
            for number in range(keys):
                name = f"job-{number:05}"
                made = now - number * 60
                rows.append((
                    f"key_{number:08}bench", user, name, "ci" if number % 2 else None, '["inference","models:read"]', "[]",
                    made + 90 * 86400, hashlib.sha256(secrets.token_bytes(32)).digest(), "abcd", 1, None, made,
                ))
            columns = "id, user_id, name, environment, scopes, models, expires_at, hash, hint, replaceable, replaces, created_at"
            marks = ",".join("?" * len(rows[0]))
            database.executemany(f"INSERT INTO api_keys ({columns}) VALUES ({marks})", rows)
        database.close()


def bench(binary, quick, report):
    runs = 5 if quick else 15
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        gateways = [Gateway(binary, one, 1), Gateway(binary, many, KEYS)]
        try:
            gateways[0].run("keys", "create", "job", "--save")
            listed = json.loads(gateways[1].run("keys", "list", "--json"))["keys"]
            if len(listed) != KEYS:
                raise SystemExit(f"{len(listed)} keys are listed, not {KEYS}")
            for form in ([], ["--json"]):
                few, lots = (Program("one key", [binary, "keys", "list", *form], env=gateway.env) for gateway in gateways)
                for number in range(runs + 1):
                    for program in (few, lots):
                        program.run(keep=number > 0)
                more = statistics.median(lots.wall) - statistics.median(few.wall)
                what = " ".join(["keys list", *form])
                print(f"{what}: 1 key {statistics.median(few.wall):.1f} ms, {KEYS} keys {statistics.median(lots.wall):.1f} ms")
                report.row(f"{what}, {KEYS} keys more than 1", f"{more / 1000:.3f} s", "0.200 s", more <= 200)
            host = gateways[0].url.removeprefix("http://")
            rotate = Program("a rotation", [binary, "keys", "rotate", "job", "--max-age", "0s", "--profile", host], env=gateways[0].env)
            for number in range(runs):
                rotate.run(keep=number > 0)
            report.note("keys rotate, start to end", f"{statistics.median(rotate.wall):.0f} ms", "-")
        finally:
            for gateway in gateways:
                gateway.stop()
