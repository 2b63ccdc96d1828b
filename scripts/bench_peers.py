"""What scripts/bench measures beside each other: the upstream server itself, the gateway, nginx, Caddy. Each is a process of ours on a free
loopback port, and knows what it has cost so far."""

import base64
import glob
import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import time

PREFIX = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Peer:
    """A server that is running. Its children are counted too."""

    def __init__(self, name, port, args, **more):
        self.name, self.port = name, port
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, **more)

    def wait(self):
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        sys.exit(f"{self.name} does not listen")

    def pids(self):
        own = self.process.pid
        with open(f"/proc/{own}/task/{own}/children", encoding="ascii") as file:
            return [own, *map(int, file.read().split())]

    def cpu(self):
        """Seconds on a processor since the start, all threads, to the ns."""
        total = 0
        for pid in self.pids():
            for file in glob.glob(f"/proc/{pid}/task/*/schedstat"):
                with open(file, encoding="ascii") as figures:
                    total += int(figures.read().split()[0])
        return total / 1e9

    def resident(self):
        """MiB."""
        pages = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/statm", encoding="ascii") as figures:
                pages += int(figures.read().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self):
        self.process.terminate()
        self.process.wait()


class Direct(Peer):
    def __init__(self, wire):
        super().__init__("direct", 0, [wire, "serve"], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"


class Ours(Peer):
    """The gateway, with a person, a device, a key, and a key pair that signs."""

    def __init__(self, binary, folder, upstream, name="gateway", database=None, more=()):
        self.binary, self.folder = binary, folder
        self.env = {"PATH": os.environ["PATH"], "HOME": folder, "LANG": "C.UTF-8", "OLLAMA_AUTH_STORE": "plaintext"}
        self.database = ["--database", database or os.path.join(folder, "gateway.db")]
        port = free_port()
        args = [binary, "gateway", "serve", "--listen", f"127.0.0.1:{port}", "--upstream", upstream, *self.database]
        self.started = (name, port, [*args, *more])
        self.start()

    def start(self):
        super().__init__(*self.started, env=self.env, stderr=subprocess.DEVNULL)
        self.wait()

    def run(self, *args, stdin="", codes=(0,)):
        done = subprocess.run([self.binary, *args], env=self.env, input=stdin, capture_output=True, text=True)
        if done.returncode not in codes:
            sys.exit(f"ollama-auth {' '.join(args)}: exit code {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def make_credentials(self, limits=()):
        self.run("gateway", "user", "add", "ada", *self.database, stdin="correct horse battery\n")
        sign_in = ["signin", "--host", self.url, "--no-wait"]
        self.approve(self.run(*sign_in, codes=(4,)))
        self.run(*sign_in)
        create = ["keys", "create", "bench", "--scope", "inference,models:read", *limits]
        self.header = f"Authorization: Bearer {self.run(*create)}"
        self.header_for_models = f"Authorization: Bearer {self.run(*create, '--model', 'bulk-*')}"

        self.pem = os.path.join(self.folder, "key.pem")
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", self.pem], check=True)
        public = ["openssl", "pkey", "-in", self.pem, "-pubout", "-outform", "DER"]
        raw = subprocess.run(public, check=True, capture_output=True).stdout[-32:]
        self.blob = base64.b64encode(PREFIX + raw).decode()
        header, path = self.signed("/api/me", "POST")
        curl = ["curl", "-sS", "--noproxy", "*", "-X", "POST", "-H", header, self.url + path]
        answer = subprocess.run(curl, check=True, capture_output=True, text=True).stdout
        self.approve(json.loads(answer)["signin_url"])

    def fill(self, keys):
        """Gives the person that many more API keys, puts her into groups, and gives her limits of her own. The keys are written where the
        gateway keeps them, while it does not run: it allows an account a few changes a second."""
        self.run("gateway", "user", "groups", "ada", "team", *self.database, codes=(0, 1))  # there may be none
        self.run("gateway", "user", "limits", "ada", "--limit", "rpm=1000000,streams=100000", *self.database)
        self.end()
        made = int(time.time())
        with sqlite3.connect(os.path.join(self.folder, "gateway.db")) as database:
            (user,) = database.execute("SELECT id FROM users").fetchone()
            columns = "id, user_id, name, environment, scopes, models, expires_at, hash, hint, replaceable, created_at, limits"
            rows = [
                (
                    f"key_{number:08}bench", user, f"job-{number:05}", "bench", '["inference"]', "[]", made + 90 * 86400,
                    secrets.token_bytes(32), "abcd", 1, made, f'{{"requests_per_minute":{60 + number % 40},"streams":2}}',
                )
                for number in range(keys)
            ]
            marks = ",".join("?" * len(rows[0]))
            database.executemany(f"INSERT INTO api_keys ({columns}) VALUES ({marks})", rows)
        database.close()
        self.start()

    def approve(self, link):
        self.run("gateway", "approve", link, "--user", "ada", *self.database)

    def signed(self, path, method="GET"):
        """A header and the path that it is good for during a minute."""
        path = f"{path}?ts={int(time.time())}"
        message = os.path.join(self.folder, "message")
        with open(message, "w", encoding="ascii") as file:
            file.write(f"{method},{path}")
        sign = ["openssl", "pkeyutl", "-sign", "-inkey", self.pem, "-rawin", "-in", message]
        signature = subprocess.run(sign, check=True, capture_output=True).stdout
        return f"Authorization: {self.blob}:{base64.b64encode(signature).decode()}", path


class Nginx(Peer):
    def __init__(self, folder, upstream, header):
        port, base = free_port(), os.path.join(folder, "nginx")
        os.mkdir(base)
        user = "user root;" if os.geteuid() == 0 else ""
        value = header.split(": ", 1)[1]
        temporary = "\n".join(
            f"    {kind}_temp_path {base}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = f"""{user}
worker_processes 2;
daemon off;
pid {base}/pid;
error_log {base}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
{temporary}
    keepalive_requests 100000000;
    map_hash_bucket_size 256;
    map $http_authorization $known {{ default 0; "{value}" 1; }}
    upstream behind {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            if ($known = 0) {{ return 401; }}
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""
        file = os.path.join(base, "nginx.conf")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as out:
            out.write(config)
        nginx = shutil.which("nginx")
        super().__init__("nginx", port, [nginx, "-p", base, "-e", f"{base}/error.log", "-c", file])


class Caddy(Peer):
    def __init__(self, folder, upstream, header):
        port, base = free_port(), os.path.join(folder, "caddy")
        os.mkdir(base)
        value = header.split(": ", 1)[1]
        config = f"""{{
    admin off
    auto_https off
}}
http://127.0.0.1:{port} {{
    bind 127.0.0.1
    @unknown not header Authorization "{value}"
    respond @unknown 401
    reverse_proxy 127.0.0.1:{upstream} {{
        flush_interval -1
        transport http {{
            keepalive_idle_conns_per_host 256
        }}
    }}
}}
"""
        file = os.path.join(base, "Caddyfile")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as out:
            out.write(config)
        args = [shutil.which("caddy"), "run", "--config", file, "--adapter", "caddyfile"]
        env = os.environ | {"HOME": base, "XDG_DATA_HOME": base, "XDG_CONFIG_HOME": base}
        super().__init__("caddy", port, args, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
