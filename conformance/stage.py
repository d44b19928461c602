"""What all runs stand on: the programs as processes, a tenant, and a receiver."""

import http.server
import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARIES = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
PASSWORD = "correct horse battery staple"
PATIENCE_SECONDS = 30


@dataclass
class Stage:
    """The API, and a tenant of it."""

    url: str
    tenant_id: str
    user_id: int
    username: str
    api_key: str

    def call(self, method, path, body=None, headers=()):
        """Makes a request with the tenant's key and returns (status, JSON)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("X-API-Key", self.api_key)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for name, value in headers:
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def wait_for(self, path, condition):
        """Reads a resource until a condition holds for it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            status, found = self.call("GET", path)
            if status == 200 and condition(found):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"in vain: {status} {found}")
            time.sleep(0.05)


class Receiver:
    """A webhook receiver on loopback that answers 200 and echoes challenges; what came waits in a queue."""

    def __init__(self):
        received = queue.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.put((dict(self.headers.items()), body))
                payload = json.loads(body)
                challenge = payload.get("challenge", "") if isinstance(payload, dict) else ""
                self.send_response(200)
                self.send_header("Content-Length", str(len(challenge)))
                self.end_headers()
                self.wfile.write(challenge.encode())

            def log_message(self, *_):
                pass

        self._received = received
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"

    def next(self):
        """The next request: its headers and its body."""
        return self._received.get(timeout=PATIENCE_SECONDS)

    def close(self):
        self._server.shutdown()


def _start(name, environment, ready):
    process = subprocess.Popen(
        [BINARIES / name], env={**os.environ, **environment}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    lines = process.stdout if name == "reprise-api" else process.stdout
    for stream in (process.stderr, lines):
        threading.Thread(target=_read, args=(stream, ready), daemon=True).start()
    return process


def _read(stream, found):
    for line in stream:
        if "listening on " in line:
            found.put(line.split("listening on ")[1].split()[0])
        elif "ERROR" in line or "panicked" in line:
            sys.stderr.write(line)


@contextmanager
def programs():
    """Starts the API and a dispatcher on the database of DATABASE_URL, with a tenant."""
    environment = {
        "REPRISE_SECRET_KEY": "c29tZSBrZXkgZm9yIHRoZSBjb25mb3JtYW5jZSBydW4=",
        "REPRISE_LISTEN": "127.0.0.1:0",
        "REPRISE_ADMIN_LISTEN": "127.0.0.1:0",
        "REPRISE_ALLOW_HTTP": "true",
        "REPRISE_ALLOW_NETWORKS": "127.0.0.0/8",
        # Wrong passwords are part of what is tried here.
        "REPRISE_LOGIN_FAILURES_PER_MINUTE": "0",
    }
    api_program = BINARIES / "reprise-api"
    subprocess.run([api_program, "migrate"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    username = f"conformance-{uuid.uuid4()}"
    made = subprocess.run(
        [api_program, "tenant", "create", "--name", "Conformance", "--username", username],
        env={**os.environ, "REPRISE_PASSWORD": PASSWORD}, check=True, capture_output=True, text=True,
    )
    tenant = json.loads(made.stdout)
    listening = queue.Queue()
    processes = [_start("reprise-api", environment, listening)]
    try:
        address = listening.get(timeout=PATIENCE_SECONDS)
        processes.append(_start("reprise-dispatcher", environment, queue.Queue()))
        yield Stage(f"http://{address}", tenant["tenant_id"], tenant["user_id"], username, tenant["api_key"])
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=60)
