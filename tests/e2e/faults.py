"""A fault-injecting proxy (microburst) between functions and the emulator's IoT."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from stack import free_port

# A signature covers the Host header and the path's escapes, and the emulator verifies it: the proxy has to hand
# both on as they came, where it would name its upstream and turn `%3A` into a colon.
PROGRAM = """
import aiohttp
import yarl
from microburst import cli, forward

outbound_headers = forward.Upstream._outbound_headers
request = aiohttp.ClientSession.request

forward.Upstream._outbound_headers = lambda self, r: outbound_headers(self, r) | {"host": r.headers["host"]}
aiohttp.ClientSession.request = lambda self, method, url, **more: request(
    self, method, yarl.URL(url, encoded=True), **more
)
cli.main()
"""


class Faults:
    """The proxy's rules, replaced as a whole by each test."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _call(self, method: str, path: str, body: object = None) -> object:
        request = urllib.request.Request(
            f"{self.url}/_microburst/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"null")

    @contextlib.contextmanager
    def injected(self, *rules: dict) -> Iterator[None]:
        self._call("DELETE", "fired")
        self._call("POST", "rules", list(rules))
        try:
            yield
        finally:
            self._call("POST", "rules", [])

    def fired(self) -> list[dict]:
        return self._call("GET", "fired")


@contextlib.contextmanager
def proxy(upstream: str, log: pathlib.Path) -> Iterator[Faults]:
    port = free_port()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                PROGRAM,
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--upstream",
                upstream,
                "--no-resign",
            ],
            stdout=out,
            stderr=out,
            env={**os.environ, "NO_COLOR": "1"},
        )
        faults = Faults(f"http://127.0.0.1:{port}")
        try:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    faults._call("GET", "health")
                    break
                if process.poll() is not None:
                    raise RuntimeError(f"the fault proxy ended with {process.returncode}, see {log}")
                time.sleep(0.1)
            else:
                raise RuntimeError(f"the fault proxy did not answer, see {log}")
            yield faults
        finally:
            process.terminate()
            process.wait(10)
