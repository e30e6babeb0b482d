"""Documents say what is true: their links lead somewhere, their code compiles, their commands and variables exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.settings import ENV_PREFIX, Settings
from tests.project import commands
from tests.project.repository import ROOT, documents, fenced_blocks, python_files, read

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
VARIABLE = re.compile(r"\bFARZI_[A-Z0-9]+(?:_[A-Z0-9]+)*\b")


def _anchors(name: str) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", read(name), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", documents())
def test_links_lead_somewhere(name: str) -> None:
    for target in LINK.findall(read(name)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        destination = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert destination.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in _anchors(str(destination.relative_to(ROOT))), f"{name} links to {target}"


@pytest.mark.parametrize("name", documents())
def test_python_in_documents_compiles(name: str) -> None:
    for language, line, text in fenced_blocks(name):
        if language == "python":
            compile(text, f"{name}:{line}", "exec")


@pytest.mark.parametrize("name", documents())
def test_commands_in_documents_exist(name: str) -> None:
    for command in commands.of_document(name):
        commands.check(command)


def test_every_variable_that_a_document_names_is_read_by_the_code() -> None:
    known = {ENV_PREFIX + field.upper() for field in Settings.model_fields}
    for name in python_files():
        if name.startswith(("farzi_client/", "tests/services/", "tests/acceptance/")):
            known |= set(VARIABLE.findall(read(name)))
    named = {(name, variable) for name in (*documents(), ".env.example") for variable in VARIABLE.findall(read(name))}
    assert sorted((name, variable) for name, variable in named if variable not in known) == []


def test_the_settings_table_is_the_settings() -> None:
    rows = [
        f"| `{ENV_PREFIX}{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    table = [line for line in read("docs/settings.md").splitlines() if line.startswith("| `")]
    assert table == rows, "docs/settings.md should have these rows:\n" + "\n".join(rows)


def test_every_document_can_be_reached_from_the_index() -> None:
    reached, waiting = set[str](), ["docs/index.md"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            targets = [target.partition("#")[0] for target in LINK.findall(read(name)) if not re.match(r"[a-z]+:", target)]
            paths = [((ROOT / name).parent / target).resolve() for target in targets if target.endswith(".md")]
            waiting += [str(path.relative_to(ROOT)) for path in paths]
    assert sorted(name for name in documents() if name.startswith("docs/") and name not in reached) == []


def _default(value: object) -> str:
    if value is None:
        return ""
    return f"`{value.as_posix()}`" if isinstance(value, Path) else f"`{value}`"
