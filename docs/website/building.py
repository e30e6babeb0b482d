"""From docs/ to a site: pages, navigation and configuration are put together in a directory that Zensical then reads."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from docs.website.navigation import read_navigation, render_navigation
from docs.website.notebooks import write_notebook_page
from docs.website.pages import DOCS, ROOT, page_of, rewrite_links, sources
from docs.website.reference import write_reference

CONFIGURATION = Path(__file__).with_name("zensical.toml")
LEFT_OUT = shutil.ignore_patterns("website", "*.md", "__pycache__")


class SiteError(RuntimeError):
    """The generator refused the pages; the message is what it said."""


def build_site(directory: Path) -> Path:
    """Write the site to ``directory``, which is replaced, and return its first page.

    Raises:
        SiteError: a link leads nowhere, or the generator warns of something else.
    """
    with tempfile.TemporaryDirectory() as temporary:
        project = Path(temporary)
        navigation = render_navigation(read_navigation(), write_pages(project / "docs"))
        (project / "zensical.toml").write_text(CONFIGURATION.read_text().replace("nav = []", navigation))
        built = generate(project)
        shutil.rmtree(directory, ignore_errors=True)
        shutil.copytree(built, directory)
    return directory / "index.html"


def generate(project: Path) -> Path:
    """Return the site of a directory that has ``zensical.toml`` and pages in ``docs``.

    Raises:
        SiteError: as ``build_site``.
    """
    ran = subprocess.run(  # noqa: S603  the generator of this environment
        [str(Path(sys.executable).with_name("zensical")), "build", "--strict"],
        cwd=project,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        raise SiteError(f"{ran.stdout}{ran.stderr}".strip())
    return project / "site"


def write_pages(target: Path) -> dict[str, str]:
    """Write every page and asset to ``target``; return titles and pages of the HTTP reference, which no file of docs/ has."""
    shutil.copytree(DOCS, target, ignore=LEFT_OUT)
    for source in sources():
        page = target / page_of(source)
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(rewrite_links(source, (ROOT / source).read_text(encoding="utf-8")), encoding="utf-8")
    for notebook in sorted(DOCS.rglob("*.ipynb")):
        write_notebook_page(notebook, target / notebook.relative_to(DOCS).with_suffix(".md"))
    return write_reference(target)
