"""The site's navigation is that of docs/index.md: its headings are sections, the links in its tables are pages."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from docs.website.pages import ROOT, page_of

INDEX = "docs/index.md"
HEADING = re.compile(r"^## (?P<title>.+)$")
ROW = re.compile(r"^\| \[(?P<title>[^\]]+)\]\((?P<target>[^)#]+\.(?:md|ipynb))\) \|")
# Pages that are themselves the index of a folder: what their tables link to stands below them.
FOLDERS = {"docs/api.md": ROW, "docs/adr/README.md": re.compile(r"^\| \[\d+\]\((?P<target>[^)]+)\) \| (?P<title>.+) \|$")}
REFERENCE = "Reference of every operation"
REFERENCE_BELONGS_TO = "docs/api.md"


@dataclass(frozen=True)
class Entry:
    """A page with its title, or a section with what is in it."""

    title: str
    page: str = ""
    entries: tuple[Entry, ...] = ()


def read_navigation() -> list[Entry]:
    """Return the sections of docs/index.md."""
    sections: list[Entry] = []
    for line in (ROOT / INDEX).read_text(encoding="utf-8").splitlines():
        if heading := HEADING.match(line):
            sections.append(Entry(heading["title"]))
        elif row := ROW.match(line):
            last = sections.pop()
            sections.append(Entry(last.title, entries=(*last.entries, _entry(row["title"], _source(INDEX, row["target"])))))
    return sections


def render_navigation(sections: list[Entry], reference: Mapping[str, str]) -> str:
    """Return the ``nav`` of the configuration; ``reference`` has the pages of the HTTP reference by title."""
    operations = [{title: page} for title, page in reference.items()]
    listed = [{"Home": "index.md"}, *(_listed(section, operations) for section in sections)]
    return f"nav = {_toml(listed)}"


def pages_of(entries: Sequence[Entry]) -> list[str]:
    """Return every page of the navigation."""
    return [page for entry in entries for page in ([entry.page] if entry.page else []) + pages_of(entry.entries)]


def _entry(title: str, source: str) -> Entry:
    below = []
    if source in FOLDERS:
        folder = PurePosixPath(source).parent if source.endswith("README.md") else PurePosixPath(source).with_suffix("")
        for line in (ROOT / source).read_text(encoding="utf-8").splitlines():
            row = FOLDERS[source].match(line)
            if row and PurePosixPath(inner := _source(source, row["target"])).parent == folder:
                below.append(Entry(row["title"].replace("`", ""), page_of(inner)))
    return Entry(title, page_of(source), tuple(below))


def _source(page: str, target: str) -> str:
    return os.path.normpath(PurePosixPath(page).parent / target)


def _listed(entry: Entry, operations: list[dict[str, str]]) -> dict[str, object]:
    if not entry.entries:
        return {entry.title: entry.page}
    inner: list[object] = [{entry.title: entry.page}] if entry.page else []
    inner += [_listed(below, operations) for below in entry.entries]
    if entry.page == page_of(REFERENCE_BELONGS_TO):
        inner.append({REFERENCE: operations})
    return {entry.title: inner}


def _toml(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    assert isinstance(value, dict)
    return "{ " + ", ".join(f"{json.dumps(key, ensure_ascii=False)} = {_toml(item)}" for key, item in value.items()) + " }"
