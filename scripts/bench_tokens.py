"""An issuer of tokens for scripts/bench: an RSA key, its key set in a file, and tokens as GitHub Actions issues them."""

import base64
import json
import os
import re
import subprocess
import time
import uuid

ISSUER, AUDIENCE = "https://issuer.example", "https://gpu.example.com"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    def __init__(self, folder):
        self.key = os.path.join(folder, "issuer.pem")
        args = ["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.key]
        subprocess.run(args, check=True)
        shown = ["openssl", "rsa", "-in", self.key, "-noout", "-modulus"]
        modulus = re.search("=([0-9A-F]+)", subprocess.run(shown, check=True, capture_output=True, text=True).stdout)[1]
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": encoded(bytes.fromhex(modulus)), "e": "AQAB"}
        self.keys = os.path.join(folder, "keys.json")
        with open(self.keys, "w", encoding="ascii") as file:
            json.dump({"keys": [key]}, file)

    def rule(self):
        """The table of a configuration file that accepts its tokens."""
        return (
            f'[[workload]]\nname = "bench"\nissuer = "{ISSUER}"\naudience = "{AUDIENCE}"\nprovider = "github"\n'
            f'jwks-file = "{self.keys}"\nclaims = {{ repository_id = "1296269", ref = "refs/heads/*" }}\n'
            'scopes = ["inference", "models:read"]\n'
        )

    def token(self):
        """One that no gateway has seen, valid for ten minutes."""
        now = int(time.time())
        repository = "octo-org/octo-repo"
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": f"repo:{repository}:ref:refs/heads/main", "jti": str(uuid.uuid4()),
            "iat": now, "nbf": now - 30, "exp": now + 600, "ref": "refs/heads/main", "ref_type": "branch", "ref_protected": "true",
            "sha": "c2d1b7d58a5f3ea8f1d02e5b3cf0a1f0d8a9d1a2", "repository": repository, "repository_id": "1296269",
            "repository_owner": "octo-org", "repository_owner_id": "65", "repository_visibility": "private", "actor": "octocat",
            "actor_id": "12", "workflow": "release", "run_id": "9876543210", "run_number": "10", "run_attempt": "2", "head_ref": "",
            "base_ref": "", "event_name": "push", "workflow_ref": f"{repository}/.github/workflows/release.yml@refs/heads/main",
            "workflow_sha": "c2d1b7d58a5f3ea8f1d02e5b3cf0a1f0d8a9d1a2", "runner_environment": "github-hosted",
            "job_workflow_ref": f"{repository}/.github/workflows/release.yml@refs/heads/main",
        }
        header = {"typ": "JWT", "alg": "RS256", "kid": "one"}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        args = ["openssl", "dgst", "-sha256", "-sign", self.key]
        signature = subprocess.run(args, check=True, capture_output=True, input=signed.encode()).stdout
        return f"{signed}.{encoded(signature)}"
