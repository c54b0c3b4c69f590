"""The form of the documentation: blocks that say what they are, links that lead somewhere, and nothing left out."""

from __future__ import annotations

import re
import subprocess

import arguments
import elsewhere
import form
import pytest
from pages import Page, page, pages, reachable

EVERY = pytest.mark.parametrize("read", pages(), ids=str)


@EVERY
def test_every_block_says_what_it_is(read: Page):
    assert form.blocks_without_language(read) == []


@EVERY
def test_every_link_leads_to_a_file_and_a_heading(read: Page):
    assert form.broken_links(read) == []


@EVERY
def test_no_command_has_a_placeholder_in_capitals(read: Page):
    assert form.placeholders(read) == []


@EVERY
def test_a_page_says_where_its_functions_are_from(read: Page):
    assert form.unexplained_functions(read) == []


@EVERY
def test_every_command_in_the_text_is_there(read: Page, commands):
    assert form.unknown_commands(read, commands) == []


def test_every_page_can_be_found():
    found = reachable("README.md") | reachable("docs/README.md")
    assert [str(one) for one in pages() if one.name not in found] == []


@pytest.fixture(scope="session")
def commands(binary) -> set[str]:
    """Every command of `jobwarden`, as its help lists them."""

    def below(*words: str) -> list[str]:
        told = subprocess.run([binary, *words, "--help"], capture_output=True, text=True, check=True, timeout=20).stdout
        listed = told.partition("Commands:\n")[2].partition("\n\n")[0]
        names = [name for name in re.findall(r"^  ([a-z]+)", listed, re.MULTILINE) if name != "help"]
        return [found for name in names for found in below(*words, name)] if names else [" ".join(words)]

    return set(below())


def test_every_command_of_the_command_line_is_on_its_page(commands):
    assert len(commands) > 8
    told = page("docs/cli.md").path.read_text()
    assert [command for command in sorted(commands) if f"jobwarden {command}" not in told] == []


def test_every_parameter_is_explained_with_its_default():
    told = page("docs/configuration.md").path.read_text()
    rows = re.findall(r"^\| `(\w+)` \| (?:`([^`]*)`|none) \|", told, re.MULTILINE)
    assert dict(rows) == {name: str(known.get("Default", "")) for name, known in arguments.parameters().items()}


def test_every_entry_of_what_is_not_run_has_a_reason_and_a_page_that_is_run():
    run = {one.name for one in pages() if one.of("sh", "console")}
    assert [entry for entry in elsewhere.entries() if entry.page not in run or not entry.reason] == []
