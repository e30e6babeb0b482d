"""The HTTP reference of the site, a page for each tag of docs/openapi.json; a running service has it at ``/docs``."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.api_page import groups_of
from docs.website.pages import DOCS

FOLDER = "api/reference"


def write_reference(target: Path) -> dict[str, str]:
    """Write the pages below ``target`` and return them by title, in the order of the tags."""
    description = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    # Markdown, not HTML: what stands in a page comes from the committed document alone, and names in it are code.
    environment = Environment(  # noqa: S701
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = lambda text: " ".join(text.replace("|", "\\|").split())
    template = environment.get_template("reference.md.jinja")
    pages = {}
    for group in groups_of(description):
        page = target / FOLDER / f"{group['anchor']}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(template.render(group=group), encoding="utf-8")
        pages[group["name"]] = f"{FOLDER}/{page.name}"
    return pages
