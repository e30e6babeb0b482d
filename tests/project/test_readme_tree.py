"""The README's file tree is the map of the code: nothing missing, nothing that is gone, a line on each."""

from __future__ import annotations

from pathlib import PurePosixPath

from tests.project.repository import PACKAGES, ROOT, fenced_blocks, files


def _tree() -> dict[str, str]:
    """Return the description of every path in the tree; two spaces of indentation a level, folders end with a slash."""
    (block,) = [text for language, _, text in fenced_blocks("README.md") if language == "text" and "farzi_core/" in text]
    described: dict[str, str] = {}
    parents: list[str] = []
    for line in block.splitlines():
        name, _, description = line.strip().partition("  ")
        depth = (len(line) - len(line.lstrip())) // 2
        parents = [*parents[:depth], name]
        path = "".join(parents)
        assert path not in described, f"{path} stands twice in the tree"
        described[path] = description.strip()
    return described


def _expected() -> set[str]:
    """Return the top-level entries and all of the packages; a folder's line stands for its ``__init__.py`` and marker."""
    expected = {name.partition("/")[0] + ("/" if "/" in name else "") for name in files()}
    for name in files():
        path = PurePosixPath(name)
        if path.parts[0] in PACKAGES and len(path.parts) > 1:
            expected |= {f"{parent}/" for parent in path.parents if str(parent) != "."}
            if path.name not in {"__init__.py", "py.typed"}:
                expected.add(name)
    return expected


def test_every_module_and_top_level_entry_is_in_the_tree() -> None:
    assert sorted(_expected() - _tree().keys()) == []


def test_everything_in_the_tree_exists() -> None:
    assert [path for path in _tree() if not (ROOT / path).exists()] == []


def test_every_line_of_the_tree_says_something() -> None:
    assert [path for path, description in _tree().items() if len(description) < 8] == []
