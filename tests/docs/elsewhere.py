"""Commands of the pages that cannot run where the tests run: what stands in for them, and what is checked of them.

Each has an entry in elsewhere.toml. In place of its program a script of that name is found, which knows the entries
of the page and notes down every call. A call that no entry names goes to the program itself, if there is one.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shlex
import tomllib

import arguments

FILE = pathlib.Path(__file__).with_name("elsewhere.toml")
# Without an entry these are not run: they change the machine, the account, or what other tests stand on.
ONLY_LISTED = ("make", "cargo", "rustup", "git", "sam")
NOT_LISTED = 97


@dataclasses.dataclass(frozen=True)
class Entry:
    """A command that is not run as it stands.

    `run` is the command with its arguments as the shell gives them, in which `*` stands for anything. `answer` is
    printed in its place. With `replace` it is run after all, with the first text in its arguments replaced by the
    value of a variable; with `exits` it is run as it stands, and has to end with that code.
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

    def acts(self, real: str) -> list[str]:
        """What is done in bash when it is called."""
        if self.replace is not None:
            text, variable = self.replace
            return [f'exec {real} "${{@/{text}/${variable}}}"']
        if self.exits is not None:
            return [f'{real} "$@"', f"code=$?; exit $((code == {self.exits} ? 0 : code ? code : {NOT_LISTED}))"]
        return [f'printf "%s" "{self.answer}"', "exit 0"]


def entries(page: str | None = None) -> list[Entry]:
    """Every entry, or those of a page."""
    found = []
    for command in tomllib.loads(FILE.read_text())["command"]:
        pages, rest = command["pages"], {name: value for name, value in command.items() if name != "pages"}
        if "replace" in rest:
            rest["replace"] = tuple(rest["replace"])
        found += [Entry(each, **rest) for each in pages if page in (None, each)]
    return found


def stand_in(program: str, real: str, page: str) -> str:
    """The script that is found in place of a program. It notes down each call: which entry's it was, or none's."""
    lines = ["#!/bin/bash", f'call="{program} $*"']
    lines += [f"""note() {{ printf '%s %s\\n' "$1" "$(printf '%q ' {program} "${{@:2}}")" >>"$DOCS_CALLS"; }}"""]
    lines += ['case "$call" in']
    for number, entry in enumerate(entries(page)):
        if entry.program == program:
            pattern = "*".join(shlex.quote(part) if part else "" for part in entry.run.split("*"))
            lines += [f"{pattern})", f'note {number} "$@"', *entry.acts(real), ";;"]
    lines += ["esac"]
    if program in ONLY_LISTED:
        lines += [f'echo "$call: not run here, and not in tests/docs/{FILE.name}" >&2', f"exit {NOT_LISTED}"]
    return "\n".join([*lines, 'note - "$@"', f'exec {real} "$@"', ""])


def complaints(page: str, calls: pathlib.Path, environment: dict[str, str], tree: pathlib.Path) -> list[str]:
    """What is wrong with the entries of a page that was run, and with the arguments of what was called."""
    found = []
    called: dict[str, set[str]] = {}
    for line in calls.read_text().splitlines() if calls.is_file() else ():
        number, _, call = line.partition(" ")
        called.setdefault(number, set()).add(call)
    known = entries(page)
    for number, entry in enumerate(known):
        if str(number) not in called:
            found.append(f"{FILE.name}: {page} does not run `{entry.run}` any more")
    for number, calls_of in called.items():
        is_run = number == "-" or known[int(number)].is_run
        for call in sorted(calls_of):
            wrong = arguments.wrong(shlex.split(call), environment, tree, is_run=is_run)
            found += [f"{page}: `{call.strip()}`: {wrong}"] if wrong else []
    return found
