"""The code blocks of documents that a reader would run, and why some are not run here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.project.repository import documents, fenced_blocks, read

RUNNABLE = {"bash", "console", "python", "sh", "shell"}
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^>]{10,}) -->")


@dataclass(frozen=True)
class Block:
    """A code block of a document."""

    page: str
    language: str
    line: int
    text: str
    not_run: str = ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page that a reader would run, in order; a comment before one says why it is not run."""
    lines = read(page).splitlines()
    found = []
    for language, line, text in fenced_blocks(page):
        if language in RUNNABLE:
            marker = NOT_RUN.fullmatch(lines[line - 3].strip()) if line >= 3 else None
            found.append(Block(page, language, line, text, marker["reason"] if marker else ""))
    return found


def every_block() -> list[Block]:
    return [block for page in documents() for block in blocks_of(page)]
