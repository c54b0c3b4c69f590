"""The pages of the documentation, read as Markdown: their fenced blocks, links, headings and code in the text."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Iterator

import markdown_it
import markdown_it.token

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATTERNS = ("*.md", "docs/**/*.md", "clients/*.md", "events/*.md", "policies/**/*.md")
LANGUAGES = ("sh", "console", "cedar", "toml", "json", "python", "rust", "yaml", "text", "http", "sql")


@dataclasses.dataclass(frozen=True)
class Fence:
    """A fenced block: where its text begins, as what, and the text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclasses.dataclass(frozen=True)
class Link:
    """A link to a file or folder of the tree, and to a heading if it names one."""

    page: str
    line: int
    target: str
    place: pathlib.Path
    anchor: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.target}"


@dataclasses.dataclass(frozen=True)
class Page:
    """A page by its path in the tree."""

    name: str
    tree: pathlib.Path = ROOT

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> pathlib.Path:
        return self.tree / self.name

    @functools.cached_property
    def tokens(self) -> list[markdown_it.token.Token]:
        return markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(self.path.read_text())

    @functools.cached_property
    def fences(self) -> list[Fence]:
        """The fenced blocks, and those that are only indented, which have no language."""
        found = []
        for token in self.tokens:
            if token.type in ("fence", "code_block"):
                first = token.map[0] + (2 if token.type == "fence" else 1)
                found.append(Fence(self.name, first, token.info.partition(" ")[0], token.content))
        return found

    def of(self, *languages: str) -> list[Fence]:
        return [fence for fence in self.fences if fence.language in languages]

    def _inline(self) -> Iterator[tuple[int, markdown_it.token.Token]]:
        for token in self.tokens:
            line = token.map[0] + 1 if token.map else 0
            yield from ((line, child) for child in token.children or ())

    @functools.cached_property
    def links(self) -> list[Link]:
        """Links and pictures, but for those that lead elsewhere."""
        found = []
        for line, token in self._inline():
            target = str(token.attrGet("href" if token.type == "link_open" else "src") or "")
            if target and not re.match(r"[a-z]+:", target):
                file, _, anchor = target.partition("#")
                place = (self.path.parent / file).resolve() if file else self.path
                found.append(Link(self.name, line, target, place, anchor))
        return found

    @functools.cached_property
    def code(self) -> list[tuple[int, str]]:
        """What the text has between backticks, with its line."""
        return [(line, token.content) for line, token in self._inline() if token.type == "code_inline"]

    @functools.cached_property
    def anchors(self) -> set[str]:
        """What a link may name of the page: its headings, as GitHub makes anchors of them."""
        found: set[str] = set()
        for before, token in zip(self.tokens, self.tokens[1:], strict=False):
            if before.type == "heading_open":
                text = "".join(c.content for c in token.children or () if c.type in ("text", "code_inline"))
                anchor = re.sub(r"[^\w\- ]", "", text.strip().lower()).replace(" ", "-")
                same = sum(re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other) is not None for other in found)
                found.add(f"{anchor}-{same}" if same else anchor)
        return found


@functools.cache
def pages() -> tuple[Page, ...]:
    """Every page, so that a new one is never left out."""
    names = {str(path.relative_to(ROOT)) for pattern in PATTERNS for path in ROOT.glob(pattern)}
    return tuple(Page(name) for name in sorted(names))


def page(name: str) -> Page:
    return next(one for one in pages() if one.name == name)


def reachable(*begin: str) -> set[str]:
    """The pages to which links lead from these, by way of others and of folders."""
    found: set[str] = set()
    names = {one.name for one in pages()}
    following = [name for name in begin if name in names]
    while following:
        name = following.pop()
        if name in found:
            continue
        found.add(name)
        for link in page(name).links:
            inside = link.place.glob("*.md") if link.place.is_dir() else [link.place]
            following += [str(p.relative_to(ROOT)) for p in inside if p.is_relative_to(ROOT)]
        following = [name for name in following if name in names]
    return found
