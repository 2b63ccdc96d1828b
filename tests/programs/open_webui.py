"""Starts Open WebUI without its sign-in, asks a model through it, and ends it. Arguments: its command, the URL of the Ollama server,
the model, a folder."""

import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

command, url, model, folder = sys.argv[1:]


def ask(address, path, body=None, token=None):
    """The answer of Open WebUI, also where it is an error."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def wait(address, server):
    """Until it answers: its first start takes a while."""
    while server.poll() is None:
        try:
            return ask(address, "/health")
        except OSError:
            time.sleep(0.2)
    raise SystemExit("Open WebUI ended")


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
with open(pathlib.Path(folder) / "log", "wb") as log:
    serve = [command, "serve", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(serve, stdout=log, stderr=log)
try:
    here = f"127.0.0.1:{port}"
    wait(here, server)
    token = ask(here, "/api/v1/auths/signin", {"email": "", "password": ""})["token"]
    # What its button "verify connection" does, with the key in the URL as a person pastes it.
    print(ask(here, "/ollama/verify", {"url": url, "key": ""}, token))
    print([found["id"] for found in ask(here, "/api/models", token=token)["data"]])
    question = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": False}
    print(ask(here, "/api/chat/completions", question, token))
finally:
    server.terminate()
    server.wait()
