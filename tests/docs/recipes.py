"""The recipes of the cookbooks, as somebody takes them: added to the shipped policies and rules, in a folder."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil
import tomllib

from pages import ROOT, Fence, Page

POLICIES = ROOT / "policies"
TABLE = re.compile(r"^\[+[^\]]+\]+", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A policy with the cases that follow it on the page."""

    policy: Fence
    cases: list[Fence]

    def __str__(self) -> str:
        return str(self.policy)


def policies(page: Page) -> list[Recipe]:
    found: list[Recipe] = []
    for fence in page.of("cedar", "toml"):
        if fence.language == "cedar":
            found.append(Recipe(fence, []))
        elif is_cases(fence):
            assert found, f"{fence}: cases without a policy before them"
            found[-1].cases.append(fence)
    return found


def is_cases(fence: Fence) -> bool:
    return "case" in tomllib.loads(fence.text)


def rules(page: Page) -> list[Fence]:
    return [fence for fence in page.of("toml") if not is_cases(fence)]


def policy_folder(recipe: Recipe, folder: pathlib.Path, *, with_policy: bool = True) -> pathlib.Path:
    """The shipped policies, the recipe appended unless it is to be seen that it is needed, and its cases alone."""
    (folder / "tests").mkdir(parents=True)
    shutil.copy(POLICIES / "retention.toml", folder)
    shipped = (POLICIES / "access.cedar").read_text()
    (folder / "access.cedar").write_text(f"{shipped}\n{recipe.policy.text}" if with_policy else shipped)
    for cases in recipe.cases:
        (folder / "tests" / f"line-{cases.line}.toml").write_text(cases.text)
    return folder


def rules_folder(fence: Fence, folder: pathlib.Path) -> pathlib.Path:
    """The shipped rules, with those of the page before them; a table that is there already is replaced."""
    folder.mkdir(parents=True)
    shutil.copy(POLICIES / "access.cedar", folder)
    shipped = _tables((POLICIES / "retention.toml").read_text())
    given = _tables(fence.text)
    assert given, f"{fence}: no rule, and no table of the rules"
    unique = {name for name, _ in given if name != "[[rule]]"}
    known = {name for name, _ in shipped}
    assert unique <= known, f"{fence}: the shipped rules have no {unique - known}"
    merged = [*given, *((name, text) for name, text in shipped if name not in unique)]
    (folder / "retention.toml").write_text("\n".join(text for _, text in merged))
    return folder


def _tables(text: str) -> list[tuple[str, str]]:
    """The tables of a document, each with its name and its text."""
    begin = [*TABLE.finditer(text)]
    ends = [*(match.start() for match in begin[1:]), len(text)]
    return [(match[0], text[match.start() : end]) for match, end in zip(begin, ends, strict=True)]
