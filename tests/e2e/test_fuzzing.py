"""The deployed API, fuzzed from docs/openapi.yaml by Schemathesis: no 5xx, and nothing that it does not have."""

from __future__ import annotations

import re
import subprocess

from environments import ROOT, program

SEED = 20261122
OPENAPI = ROOT / "tests" / "openapi"


def test_no_request_gets_an_answer_that_the_document_does_not_have(world, force, tmp_path):
    world.end_sweeps()
    world.wipe()
    # What the document's examples name.
    world.execution("IN_PROGRESS", thing="pump-7", jobId="firmware-1-6-0")
    command = [program("openapi", "schemathesis"), "--config-file", OPENAPI / "schemathesis.toml", "run"]
    command += [ROOT / "docs" / "openapi.yaml", "--url", force.api_url, "--seed", str(SEED), "--workers", "2"]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env={**force.environment, "PYTHONPATH": str(OPENAPI), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Tested: 7" in ran.stdout, ran.stdout
    generated = re.search(r"([\d,]+) generated", ran.stdout)
    assert generated and int(generated[1].replace(",", "")) > 1000, ran.stdout
    print(ran.stdout)
