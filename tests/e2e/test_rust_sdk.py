"""The AWS SDK for Rust as a client, by the recipe that users take."""

import os
import subprocess
import sys

from conftest import ROOT
from listener import listening


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
    with listening(400) as (address, seen):
        run(operator, f"http://{address}/v1", "thing", "job")
    assert f"/{operator.region}/execute-api/aws4_request" in seen[0].headers["authorization"]
