"""A client that is made from docs/openapi.yaml by a generator, against the deployed stack."""

from __future__ import annotations

import json
import subprocess

from environments import LOCAL, ROOT, program

DIRECTORY = LOCAL / "generated-client"


def test_a_client_made_from_the_document_cancels_is_refused_and_follows_a_sweep(world, operator):
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    generate = [program("openapi", "openapi-python-client"), "generate", "--overwrite", "--meta", "none"]
    generate += ["--path", ROOT / "docs" / "openapi.yaml", "--output-path", DIRECTORY / "jobwarden"]
    # It formats what it has written by the ruff of its own environment.
    path = f"{program('openapi', 'ruff').parent}:{operator.environment['PATH']}"
    made = subprocess.run(
        [*generate, "--fail-on-warning"],
        env={**operator.environment, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr

    world.end_sweeps()
    world.wipe()
    m, held = world.execution(), world.execution(tags=[{"Key": "jobwarden:hold", "Value": "yes"}])
    script = ROOT / "tests" / "openapi" / "generated_client.py"
    ran = subprocess.run(
        [program("openapi", "python"), script, operator.api_url, m.thing, m.job, held.thing, held.job],
        env={**operator.environment, "PYTHONPATH": str(DIRECTORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "canceled": ["canceled", True, "QUEUED"],
        "asked": "wouldRefuse",
        "refused": [403, "AccessDeniedException", ["held-jobs-are-untouchable"]],
        "swept": ["SUCCEEDED", True],
        "report": [True, 0, 0, 30],
        "listed": [True],
    }
    assert world.describe(m)["statusDetails"]["detailsMap"] == {"canceledBy": "anna"}
    assert (world.status(m), world.status(held)) == ("CANCELED", "QUEUED")
