"""The three that judge the template: our own comparison of rights, cfn-guard, and checkov.

Each finding is told as `RULE: RESOURCE`, with more behind it where there is more to tell.
"""

from __future__ import annotations

import fnmatch
import json
import os
import pathlib
import platform
import re
import stat
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from importlib import metadata

from rendering import EVERYTHING, Template, rendered

HERE = pathlib.Path(__file__).parent
RULES = HERE / "rules.guard"
ACCEPTED = tomllib.loads((HERE / "accepted.toml").read_text())["accepted"]

# AWS publishes the binaries of cfn-guard 3.1.1 within this package, for Linux and macOS. To build it takes more than
# two minutes of a processor.
PACKAGE = "cdklabs.cdk-validator-cfnguard"
SYSTEMS = {"Linux": "ubuntu", "Darwin": "macos"}
MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


def cfn_guard(folder: pathlib.Path) -> pathlib.Path:
    """The binary, taken out of its package."""
    archive = next(str(f.locate()) for f in metadata.files(PACKAGE) or [] if f.suffix == ".tgz")
    member = f"package/bin/{SYSTEMS[platform.system()]}/{MACHINES[platform.machine().lower()]}/cfn-guard"
    program = folder / "cfn-guard"
    with tarfile.open(archive) as tar:
        file = tar.extractfile(member)
        assert file is not None, member
        program.write_bytes(file.read())
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def guard(program: pathlib.Path, template: Template) -> list[str]:
    """What cfn-guard has against a rendered template."""
    command = [
        program,
        "validate",
        "--rules",
        RULES,
        "--structured",
        "--output-format",
        "json",
        "--show-summary",
        "none",
    ]
    done = subprocess.run(command, input=json.dumps(template), capture_output=True, text=True, check=False)
    # 0: nothing is wrong; 19: something is; anything else: the rules could not be read.
    if done.returncode not in (0, 19):
        raise RuntimeError(f"cfn-guard ended with {done.returncode}: {done.stderr}")
    (judged,) = json.loads(done.stdout)
    if not judged["compliant"]:
        raise RuntimeError("cfn-guard has applied no rule")
    return sorted({finding for told in judged["not_compliant"] for finding in _guard_findings(told["Rule"])})


def _guard_findings(rule: dict[str, object]) -> Iterator[str]:
    paths = re.findall(r'"path": "/Resources/(\w+)', json.dumps(rule["checks"]))
    yield from (f"{rule['name']}: {resource}" for resource in paths or ["the template"])


def checkov(folder: pathlib.Path, templates: dict[str, Template]) -> dict[str, list[str]]:
    """What checkov has against rendered templates, by their names. It starts slowly, so it is given all at once."""
    for name, template in templates.items():
        (folder / f"{name}.json").write_text(json.dumps(template, indent=1))
    program = pathlib.Path(sys.executable).with_name("checkov")
    command = [
        program,
        "--directory",
        folder,
        "--framework",
        "cloudformation",
        "--skip-download",
        "--quiet",
        "--compact",
    ]
    environment = {**os.environ, "LOG_LEVEL": "ERROR"}
    done = subprocess.run(
        [*command, "--output", "json", "--soft-fail"], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"checkov ended with {done.returncode}: {done.stderr}")
    judged = json.loads(done.stdout)
    if judged["summary"]["parsing_errors"] or judged["summary"]["passed"] < 100:
        raise RuntimeError(f"checkov has judged too little: {judged['summary']}")
    found: dict[str, list[str]] = {name: [] for name in templates}
    for check in judged["results"]["failed_checks"]:
        _, _, resource = check["resource"].rpartition(".")
        name = pathlib.Path(check["file_path"]).stem
        found[name].append(f"{check['check_id']}: {resource} ({check['check_name']})")
    return found


def accepted(finding: str) -> int | None:
    """Which entry of accepted.toml says why a finding of checkov is not one of ours."""
    check, _, rest = finding.partition(": ")
    resource = rest.partition(" ")[0]
    for number, entry in enumerate(ACCEPTED):
        if entry["check"] == check and any(fnmatch.fnmatchcase(resource, pattern) for pattern in entry["on"]):
            return number
    return None


def renderings(template: Template) -> dict[str, Template]:
    """The template as it is deployed by default, and with everything that there is."""
    return {"default": rendered(template, {}), "everything": rendered(template, EVERYTHING)}
