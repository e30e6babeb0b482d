"""Which files are pages of the site, under which names, and where their links lead there.

Drawings become part of the page, so that their colours follow the page's switch between light and dark.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
OF_THE_ROOT = {
    "README.md": "project/readme.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
}
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
CODE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def sources() -> list[str]:
    """Return every Markdown file that becomes a page, relative to the root of the repository."""
    return [*OF_THE_ROOT, *(path.relative_to(ROOT).as_posix() for path in sorted(DOCS.rglob("*.md")))]


def page_of(source: str) -> str:
    """Return where ``source`` stands on the site, relative to its pages; a notebook becomes Markdown."""
    if source in OF_THE_ROOT:
        return OF_THE_ROOT[source]
    place = PurePosixPath(source).relative_to("docs")
    return (place.with_suffix(".md") if place.suffix == ".ipynb" else place).as_posix()


def rewrite_links(source: str, text: str) -> str:
    """Return the page's text with links that hold on the site; of a link to code, which is not there, the words stay."""
    parts = CODE.split(text)
    return "".join(part if CODE.fullmatch(part) else LINK.sub(lambda link: _rewrite(source, link), part) for part in parts)


def _rewrite(source: str, link: re.Match[str]) -> str:
    path, hash_sign, anchor = link["target"].partition("#")
    if not path or re.match(r"[a-z]+:", path):
        return link[0]
    meant = os.path.normpath(PurePosixPath(source).parent / path)
    if meant not in OF_THE_ROOT and not meant.startswith("docs/"):
        return link["text"]
    if link["image"] and meant.endswith(".svg"):
        return f'<div class="drawing">{(ROOT / meant).read_text(encoding="utf-8")}</div>'
    target = os.path.relpath(page_of(meant), PurePosixPath(page_of(source)).parent)
    return f"{link['image']}[{link['text']}]({target}{hash_sign}{anchor})"
