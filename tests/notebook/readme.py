"""The README as a reader takes it apart: blocks of code, tables, code within sentences, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"

Kind = Literal["cell", "module", "settings", "commands"]


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        line: where it begins, from 1.
        language: what stands behind its fence; ``indented`` where it has none.
        source: its text.
    """

    line: int
    language: str
    source: str

    @property
    def file(self) -> str | None:
        """The name of the file that it is, where its first line says one."""
        named = re.match(r"# (\w+\.py)\n", self.source)
        return named[1] if named else None

    @property
    def kind(self) -> Kind:
        """What runs it: a kernel, pytest, a file of settings, or a shell.

        Raises:
            ValueError: nothing is known that runs such a block.
        """
        is_magic = self.source.startswith(("%%ask", "%ask", "%nbretry"))
        match self.language:
            case "python":
                return "module" if self.file else "cell"
            case "" if is_magic:
                return "cell"
            case "toml":
                return "settings"
            case "console":
                return "commands"
        raise ValueError(
            f"README.md, line {self.line}: no test runs a block of the language {self.language!r} that begins with "
            f"{self.source.partition(chr(10))[0]!r}; write python, toml or console, or begin with %%ask"
        )


def tokens(text: str) -> list[Any]:
    """What the Markdown is made of."""
    return MarkdownIt("commonmark").enable("table").parse(text)


def blocks_of(text: str) -> list[Block]:
    """Every block of code, in order."""
    found = (token for token in tokens(text) if token.type in ("fence", "code_block"))
    return [
        Block(token.map[0] + 1, token.info.strip() if token.type == "fence" else "indented", token.content.rstrip("\n"))
        for token in found
    ]


def blocks() -> list[Block]:
    """Those of the README."""
    return blocks_of(README.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text without marks, and the code in it."""

    text: str
    codes: tuple[str, ...]


Table = list[list[Cell]]
"""Rows of cells, the heading first."""


def tables() -> list[Table]:
    """Every table."""
    found: list[Table] = []
    in_table = False
    for token in tokens(README.read_text(encoding="utf-8")):
        if token.type == "table_open":
            found.append([])
            in_table = True
        elif token.type == "table_close":
            in_table = False
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and in_table:
            found[-1][-1].append(_cell(token))
    return found


def _cell(token: Any) -> Cell:
    codes = tuple(child.content for child in token.children if child.type == "code_inline")
    return Cell("".join(child.content for child in token.children), codes)


def codes_in_text() -> list[str]:
    """Every piece of code within a sentence or a table."""
    return [child.content for child in _inline() if child.type == "code_inline"]


def addresses() -> list[str]:
    """Where links lead and images come from."""
    return [str(child.attrs["href" if child.type == "link_open" else "src"]) for child in _inline() if child.attrs]


def _inline() -> Iterator[Any]:
    for token in tokens(README.read_text(encoding="utf-8")):
        yield from token.children or ()
