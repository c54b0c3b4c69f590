"""The AWS SDK for Rust as a client, by the recipe that users take."""

import http.server
import os
import subprocess
import sys
import threading

from conftest import ROOT


def run(principal, api_url: str, thing: str, job: str) -> subprocess.CompletedProcess[str]:
    cargo = [sys.executable, ROOT / "dev" / "fast.py", "run", "--package", "tests", "--example", "rust_client", "--"]
    return subprocess.run(
        [*cargo, api_url, thing, job],
        env={**os.environ, **principal.environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def test_the_rust_sdk_works_and_raises_each_modelled_error(world, operator):
    m = world.execution("QUEUED", thing=world.name("a:thing"))
    done = run(operator, operator.api_url, m.thing, m.job)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "version: VersionConflictException expected version 99, but it is 1" in done.stdout
    assert "force: AccessDeniedException" in done.stdout
    assert "`force-needs-the-force-group`" in done.stdout
    assert "active: InvalidStateTransitionException" in done.stdout
    assert "namespace: InvalidRequestException" in done.stdout
    assert "gone: ResourceNotFoundException" in done.stdout
    assert world.status(m) is None


def test_the_rust_sdk_signs_for_api_gateway(operator):
    seen = []

    class Listener(http.server.BaseHTTPRequestHandler):
        def do_PUT(self):
            seen.append(self.headers["authorization"])
            self.send_error(400)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        run(operator, f"http://127.0.0.1:{server.server_port}/v1", "thing", "job")
        server.shutdown()
    assert f"/{operator.region}/execute-api/aws4_request" in seen[0]
