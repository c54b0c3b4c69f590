"""Commands of the pages that cannot run where the tests run: what stands in for them, and what is checked of them.

Each has an entry in elsewhere.toml. In place of the program a script of that name is found, which knows the entries
of the page; a call that none of them names goes to the program itself, if the page may have it.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import pathlib
import re
import shlex
import subprocess
import tomllib

import yaml
from pages import ROOT

FILE = pathlib.Path(__file__).with_name("elsewhere.toml")
# A call that has no entry is not made with these: they change the machine, the account or the tree.
ONLY_LISTED = ("make", "cargo", "rustup", "git", "sam")
REFUSED = 97


@dataclasses.dataclass(frozen=True)
class Entry:
    """A command that is not run as it stands.

    `run` is the command with its arguments as the shell gives them, in which `*` stands for anything. `answer` is
    printed in its place. With `replace` it is run after all, with the first text in its arguments replaced by the
    value of the variable; with `exits` as it stands, and has to end with that code.
    """

    page: str
    run: str
    reason: str
    answer: str = ""
    replace: tuple[str, str] | None = None
    exits: int | None = None

    @property
    def program(self) -> str:
        return self.run.partition(" ")[0]

    @property
    def is_run(self) -> bool:
        return self.replace is not None or self.exits is not None


def entries() -> list[Entry]:
    found = []
    for command in tomllib.loads(FILE.read_text())["command"]:
        pages, rest = command["pages"], {name: value for name, value in command.items() if name != "pages"}
        if "replace" in rest:
            rest["replace"] = tuple(rest["replace"])
        found += [Entry(page, **rest) for page in pages]
    return found


def stand_in(program: str, real: str | None, page: str) -> str:
    """The script that is found in place of a program. It notes down which entries were needed, and for what."""
    lines = ["#!/bin/bash", f'call="{program} $*"', 'case "$call" in']
    for number, entry in enumerate(entries()):
        if (entry.page, entry.program) == (page, program):
            pattern = "*".join(shlex.quote(part) if part else "" for part in entry.run.split("*"))
            note = f"""printf '%s\\n' "$(printf '%q ' "$@")" >>"$DOCS_CALLS/{number}" """
            lines += [f"{pattern})", f"  {note}", *(f"  {line}" for line in _acting(entry, real)), "  ;;"]
    if program in ONLY_LISTED or real is None:
        lines += ["*)", f'  echo "$call: not run here, and not in tests/docs/{FILE.name}" >&2', f"  exit {REFUSED}", "  ;;"]
    return "\n".join([*lines, "esac", f'exec {real or "false"} "$@"', ""])


def _acting(entry: Entry, real: str | None) -> list[str]:
    if entry.replace is not None:
        text, variable = entry.replace
        return [f'exec {real} "${{@/{text}/${variable}}}"']
    if entry.exits is not None:
        return [f'{real} "$@"', "code=$?", f"test $code -eq {entry.exits} && exit 0", f"exit $((code ? code : {REFUSED}))"]
    return [f'printf "%s" "{entry.answer}"' if entry.answer else ":", "exit 0"]


def complaints(page: str, calls: pathlib.Path, environment: dict[str, str], tree: pathlib.Path) -> list[str]:
    """What is wrong with the entries of a page that was run, or with the arguments of what was not run."""
    found = []
    for number, entry in enumerate(entries()):
        if entry.page != page:
            continue
        noted = calls / str(number)
        if not noted.is_file():
            found.append(f"{FILE.name}: `{entry.run}` is not run by {page} any more")
        elif not entry.is_run:
            for line in sorted(set(noted.read_text().splitlines())):
                arguments = shlex.split(line)
                wrong = _wrong(entry.program, arguments, environment, tree)
                found += [f"{page}: `{shlex.join([entry.program, *arguments])}`: {wrong}"] if wrong else []
    return found


def _wrong(program: str, arguments: list[str], environment: dict[str, str], tree: pathlib.Path) -> str | None:
    if program == "aws":
        return wrong_for_aws(arguments, environment)
    if program == "make":
        done = _ran(["make", "--dry-run", *arguments], cwd=tree)
        return done.stderr.strip() if done.returncode else None
    if program == "sam":
        return wrong_for_sam(arguments)
    return None


def _ran(command: list[str | pathlib.Path], **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **settings)


def wrong_for_aws(arguments: list[str], environment: dict[str, str]) -> str | None:
    """What the AWS CLI has against the arguments: it goes by its models before it finds that nobody answers."""
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    done = _ran([*aws(), *arguments], env={**environment, **nowhere})
    return None if "Could not connect to the endpoint URL" in done.stderr else done.stderr.strip() or "it went through"


def aws() -> list[str]:
    """The AWS CLI of the environment, by its interpreter: the environment may have been moved."""
    programs = ROOT / ".local" / "venv-clients" / "bin"
    return [str(programs / "python"), str(programs / "aws")]


def wrong_for_sam(arguments: list[str]) -> str | None:
    """Options that `sam` does not have, and parameters that the template does not."""
    command, *rest = arguments
    listing = f"from samcli.commands.{command}.command import cli; print(*(o for p in cli.params for o in p.opts))"
    done = _ran([ROOT / ".local" / "venv-sam" / "bin" / "python", "-c", listing])
    if done.returncode:
        return f"`sam` has no `{command}`"
    unknown = [word for word in rest if word.startswith("--") and word not in done.stdout.split()]
    if unknown:
        return f"`sam {command}` has no {', '.join(unknown)}"
    given = [word.split("=", 1) for word in rest if not word.startswith("--") and "=" in word]
    return next(filter(None, (wrong_parameter(name, value) for name, value in given)), None)


class _Template(yaml.SafeLoader):
    """CloudFormation's short forms are of no interest here."""


_Template.add_multi_constructor("!", lambda loader, suffix, node: None)


def parameters() -> dict[str, dict]:
    """The template's parameters."""
    return yaml.load((ROOT / "template.yaml").read_text(), _Template)["Parameters"]  # noqa: S506


def wrong_parameter(name: str, value: str) -> str | None:
    """Why CloudFormation would not take the value, as far as the template says."""
    known = parameters()
    if name not in known:
        return f"the template has no parameter `{name}`"
    allowed, pattern = known[name].get("AllowedValues"), known[name].get("AllowedPattern")
    if allowed and value not in map(str, allowed):
        return f"`{name}` is one of {', '.join(map(str, allowed))}"
    if pattern and not re.fullmatch(pattern, value):
        return f"`{name}` is to match {pattern}"
    return None


