"""What is in the repository: its files, its documents, its declared dependencies."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "farzi_client", "farzi_core", "worker")


@cache
def files() -> tuple[str, ...]:
    """Return every file that is in git or would be after ``git add``, relative to the root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return tuple(sorted(name for name in set(listed) if (ROOT / name).is_file()))


@cache
def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def documents() -> list[str]:
    return [name for name in files() if name.endswith(".md")]


def python_files() -> list[str]:
    return [name for name in files() if name.endswith(".py")]


@cache
def project() -> dict[str, Any]:
    """Return the parsed ``pyproject.toml``."""
    return tomllib.loads(read("pyproject.toml"))


def fenced_blocks(name: str) -> Iterator[tuple[str, int, str]]:
    """Yield language, first line number and text of the code blocks of a document."""
    language: str | None = None
    start, block = 0, list[str]()
    for number, line in enumerate(read(name).splitlines(), start=1):
        if not line.lstrip().startswith("```"):
            block.append(line)
        elif language is None:
            language, start, block = line.strip().removeprefix("```").strip(), number + 1, []
        else:
            yield language, start, "\n".join(block)
            language = None
    assert language is None, f"{name}:{start}: a code block is not closed"
