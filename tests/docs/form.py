"""What is wrong with the form of a page: each function tells the places, with their lines."""

from __future__ import annotations

import re
from itertools import product

import session
from pages import LANGUAGES, ROOT, Page

STATUSES = {"QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED", "REMOVED", "CANCELED"}
# Words in capitals that commands are made of, besides variables, those of AWS among them, and statuses.
WORDS = {"CAPABILITY_NAMED_IAM", "DELETE", "END", "HEAD", "JOB_EXECUTION", "NR", "POST", "PUT", *STATUSES}


def blocks_without_language(page: Page) -> list[str]:
    return [str(fence) for fence in page.fences if fence.language not in LANGUAGES]


def broken_links(page: Page) -> list[str]:
    found = []
    for link in page.links:
        is_page = link.place.suffix == ".md" and link.place.is_file()
        anchors = Page(str(link.place.relative_to(page.tree)), page.tree).anchors if is_page else set()
        if not link.place.exists() or (is_page and link.anchor and link.anchor not in anchors):
            found.append(str(link))
    return found


def placeholders(page: Page) -> list[str]:
    """Words in capitals in commands that nothing on the page, or on the start page, has given a value."""
    found = []
    known = {*WORDS, *_variables(session.start_block().text)}
    for step in session.steps(page.of("sh", "console")):
        known |= _variables(step.text)
        text = re.sub(r"(^|\s)#.*$", "", step.text, flags=re.MULTILINE)
        words = set(re.findall(r"(?<![\w${])(?!AWS_)[A-Z][A-Z0-9_]*[A-Z0-9]\b(?!=)", text))
        found += [f"{step}: {word}" for word in sorted(words - known)]
    return found


def unexplained_functions(page: Page) -> list[str]:
    """Functions of the start page that a page calls without saying where they are from."""
    if page.name == session.START:
        return []
    text = "".join(fence.text for fence in page.of("sh", "console"))
    called = [name for name in ("output", "as") if re.search(rf"(^|[(|] *|\$ ){name} ", text, re.MULTILINE)]
    named = {code for _, code in page.code} if any(link.place == ROOT / session.START for link in page.links) else set()
    return [f"{page}: {name}" for name in called if name not in named]


def _variables(text: str) -> set[str]:
    """The names that commands give values to."""
    return set(re.findall(r"\b(?:for|read) +([A-Z_]+)", text)) | set(re.findall(r"\b([A-Z_]+)=", text))


def unknown_commands(page: Page, commands: set[str]) -> list[str]:
    """Commands between backticks that are none: of `make`, `jobwarden` (which has these), and Python in the tree.

    `a|b` stands for a command with each.
    """
    begun = {" ".join(command.split()[:count]) for command in commands for count in (1, 2)}
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    there = {
        "make": lambda words: {word for word in words if "=" not in word} <= targets,
        "jobwarden": lambda words: " ".join(words[:2]) in begun or words[0] in commands,
        "python3": lambda words: (ROOT / words[0]).is_file(),
    }
    found = []
    for line, code in page.code:
        program, *words = code.split()
        each = product(*(word.split("|") for word in words))
        if program in there and words and not all(there[program](list(choice)) for choice in each):
            found.append(f"{page}:{line}: {code}")
    return found
