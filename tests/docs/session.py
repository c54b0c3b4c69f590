"""A page's shell session: its blocks in order, in one bash, in a copy of the tree, beside the running stack."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import stat
import subprocess

import arguments
import elsewhere
import pytest
from pages import ROOT, Fence, Page, pages

START = "docs/start.md"
LEFT_OUT = shutil.ignore_patterns("target", ".local", ".git", ".aws-sam", "__pycache__", ".pytest_cache", ".ruff_cache")
ANYTHING = "…"
SECONDS = 300
# The AWS CLI 1 has an address of its own for SQS, whatever AWS_ENDPOINT_URL says.
AWS = f"""#!/bin/bash
test "$1" = sqs && set -- --endpoint-url "$AWS_ENDPOINT_URL" "$@"
exec {" ".join(arguments.AWS)} "$@"
"""


@dataclasses.dataclass(frozen=True)
class Step:
    """What is run at once: a block, or a command of a block of the console with the output that it has to have."""

    fence: Fence
    line: int
    text: str
    output: str | None = None

    def __str__(self) -> str:
        return f"{self.fence.page}:{self.line}"


def steps(fences: list[Fence]) -> list[Step]:
    found = []
    for fence in fences:
        found += _commands(fence) if fence.language == "console" else [Step(fence, fence.line, fence.text)]
    return found


def _commands(fence: Fence) -> list[Step]:
    found: list[Step] = []
    for number, line in enumerate(fence.text.splitlines(), fence.line):
        if line.startswith("$ "):
            found.append(Step(fence, number, line.removeprefix("$ ") + "\n", ""))
        else:
            assert found, f"{fence}: a block of the console begins with a command"
            found[-1] = dataclasses.replace(found[-1], output=f"{found[-1].output}{line}\n")
    return found


def is_output(written: str, expected: str) -> bool:
    """Whether an output is the one of the page, in which `…` is anything: on a line, or as a line of its own lines."""
    pattern = ""
    for line in expected.splitlines():
        words = ".*".join(re.escape(part) for part in line.split(ANYTHING))
        pattern += r"(?:.*\n)*" if line.strip() == ANYTHING else rf"{words}\n"
    return re.fullmatch(pattern, written) is not None


def start_block() -> Fence:
    """The block that tells the shell where the stack is. There is one of it."""
    defines = re.compile(r"^output\(\)", re.MULTILINE)
    (found,) = [fence for page in pages() for fence in page.of("sh") if defines.search(fence.text)]
    assert found.page == START, found
    return found


class Session:
    """A copy of the tree in which a page is run, with what a shell has set that has read the start page."""

    def __init__(self, page: Page, directory: pathlib.Path, settings: dict[str, str], profiles: str, binary) -> None:
        self.page, self.directory, self.tree = page, directory, directory / "tree"
        self.calls = directory / "calls"
        shutil.copytree(ROOT, self.tree, ignore=LEFT_OUT, symlinks=True)
        local = self.tree / ".local"
        self._stand_in(local, binary)
        settings = {**settings, "AWS_CONFIG_FILE": str(local / "stack.aws")}
        (local / "stack.aws").write_text(profiles)
        (local / "stack.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        self.environment = {
            **settings,
            "PATH": f"{local}/bin:{local}/venv-clients/bin:{os.environ['PATH']}",
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "BROWSER": str(self._script(directory / "browser", '#!/bin/bash\ntest -s "$1"\n')),
            "LC_ALL": "C.UTF-8",
            "AWS_PAGER": "",
            "AWS_EC2_METADATA_DISABLED": "true",
            "DOCS_CALLS": str(self.calls),
        }

    def _stand_in(self, local: pathlib.Path, binary: pathlib.Path) -> None:
        """The environments as they are, but for the programs for which others stand in."""
        (local / "bin").mkdir(parents=True)
        (local / "venv-sam" / "bin").mkdir(parents=True)
        for place in (ROOT / ".local").glob("venv-*"):
            if place.name != "venv-sam":
                (local / place.name).symlink_to(place)
        reals = {"aws": self._script(self.directory / "aws", AWS), "jobwarden": binary}
        for program in (*reals, *elsewhere.ONLY_LISTED):
            place = local / "venv-sam" / "bin" if program == "sam" else local / "bin"
            self._script(place / program, elsewhere.stand_in(program, str(reals.get(program, "false")), self.page.name))

    @staticmethod
    def _script(path: pathlib.Path, text: str) -> pathlib.Path:
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    def run(self, fences: list[Fence]) -> None:
        """Runs blocks one after the other. What fails is told with its place, its text, and what was written."""
        todo = steps(fences)
        lines = ["set -euo pipefail"]
        for number, step in enumerate(todo):
            # Bash tells the line of an error: it is to be that of the page.
            file = self.directory / "steps" / str(number) / step.fence.page
            file.parent.mkdir(parents=True)
            file.write_text("\n" * (step.line - 1) + step.text)
            lines.append(f". {file} >{self.directory}/{number}.out 2>&1")
        script = self.directory / "session.sh"
        script.write_text("\n".join([*lines, ""]))
        with (self.directory / "bash.err").open("w") as complaints:
            done = subprocess.run(
                ["bash", script], cwd=self.tree, env=self.environment, stdin=subprocess.DEVNULL, stdout=complaints,
                stderr=subprocess.STDOUT, timeout=SECONDS, check=False,
            )  # fmt: skip
        self._check(todo, done.returncode)

    def _check(self, todo: list[Step], code: int) -> None:
        written = [(step, self.directory / f"{number}.out") for number, step in enumerate(todo)]
        begun = [(step, file.read_text()) for step, file in written if file.exists()]
        if code != 0:
            step, told = begun[-1] if begun else (todo[0], "")
            told += (self.directory / "bash.err").read_text()
            pytest.fail(f"{step} ended with code {code}:\n{step.text}\n{told}", pytrace=False)
        for step, told in begun:
            if step.output is not None and not is_output(told, step.output):
                pytest.fail(f"{step}: {step.text}wrote\n{told}\nwhere the page has\n{step.output}", pytrace=False)

    def complaints(self) -> list[str]:
        """What is wrong with the page's entries of commands that are not run."""
        return elsewhere.complaints(self.page.name, self.calls, self.environment, self.tree)

    def python(self, fence: Fence, environment: dict[str, str]) -> None:
        """Runs a block of Python as somebody who has copied it: with the client, boto3 and the API's address."""
        file = self.directory / f"{fence.line}.py"
        file.write_text(f"import os\nAPI_URL = os.environ['API_URL']\n{fence.text}")
        done = subprocess.run(
            [self.tree / ".local" / "venv-clients" / "bin" / "python", file],
            cwd=self.tree,
            env={**environment, "PYTHONPATH": str(self.tree / "clients"), "API_URL": self.environment["API_URL"]},
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{fence}:\n{done.stderr}"
        # The pages print what is refused, and nothing is meant to be.
        assert "Exception" not in done.stdout, f"{fence}:\n{done.stdout}"
