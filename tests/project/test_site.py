"""The documentation site builds without a warning, is complete, leads nowhere that is not there, and needs no other host."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs.website.building import SiteError, build_site, generate
from docs.website.figures import FIGURES
from docs.website.navigation import pages_of, read_navigation
from docs.website.pages import page_of, rewrite_links, sources
from tests.project.repository import ROOT, read

FOREIGN = re.compile(r"(?:[a-z]+:)?//")
ONLY_WHEN_CLICKED = "a"


class Page(HTMLParser):
    """What a page refers to, by tag, and the ids in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[tuple[str, str]] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src", "srcset", "data", "poster"} and value:
                self.references.append((tag, value))
            elif name == "id" and value:
                self.ids.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_site(tmp_path_factory.mktemp("documentation") / "site").parent


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}


def test_nothing_is_loaded_from_another_host(site: Path, pages: dict[Path, Page]) -> None:
    assert len(pages) > 50
    loaded = {value for page in pages.values() for tag, value in page.references if tag != ONLY_WHEN_CLICKED}
    assert [value for value in loaded if FOREIGN.match(value) and not value.startswith("data:")] == []
    for style in site.rglob("*.css"):
        assert re.findall(r"url\([\"']?((?:https?:)?//[^)]*)", style.read_text(encoding="utf-8")) == []
        assert "@import" not in style.read_text(encoding="utf-8")


def test_every_link_image_and_anchor_is_there(pages: dict[Path, Page]) -> None:
    broken = []
    for path, page in pages.items():
        for _, value in page.references:
            if not re.match(r"[a-z]+:|//", value):
                name, _, anchor = value.partition("#")
                target = (path.parent / unquote(name)).resolve() if name else path
                known = pages[target].ids if target in pages else set()
                if not target.is_file() or (anchor and target in pages and unquote(anchor) not in known | {"__comments"}):
                    broken.append(f"{path.name}: {value}")
    assert broken == []


def test_a_broken_link_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "Two pages"\nnav = [{ Home = "index.md" }]\n')
    (tmp_path / "docs/index.md").write_text("# Home\n\n[there](other.md#part)\n")
    (tmp_path / "docs/other.md").write_text("# Other\n\n## Part\n")
    assert (generate(tmp_path) / "index.html").is_file()
    (tmp_path / "docs/other.md").write_text("# Other\n\n## Gone\n")
    with pytest.raises(SiteError, match="anchor does not exist"):
        generate(tmp_path)


def test_every_document_is_in_the_navigation() -> None:
    listed = pages_of(read_navigation())
    assert sorted(listed) == sorted(set(listed))
    assert sorted({page_of(source) for source in sources()} - {*listed, "index.md"}) == []


def test_every_operation_is_in_the_reference(pages: dict[Path, Page], site: Path) -> None:
    operations = [
        operation["operationId"]
        for item in json.loads(read("docs/openapi.json"))["paths"].values()
        for method, operation in item.items()
        if method != "head"  # is GET once more
    ]
    ids = [name for path, page in pages.items() if path.parent == site / "api/reference" for name in page.ids]
    assert len(operations) > 40
    assert [name for name in operations if ids.count(name) != 1] == []


def test_links_are_those_of_the_site() -> None:
    block = "\n```text\n[e](../README.md)\n```\n"
    prose = "[a](../README.md#x) ![b](images/dashboard-job.png) [code](../farzi_core/costs.py) [d](api/jobs.md)"
    on_the_site = "[a](project/readme.md#x) ![b](images/dashboard-job.png) code [d](api/jobs.md)"
    assert rewrite_links("docs/estimates.md", prose + block) == on_the_site + block
    assert rewrite_links("README.md", "[log](docs/log.md)") == "[log](../log.md)"


def test_a_notebook_is_a_page_with_its_plots_and_can_be_had(site: Path, pages: dict[Path, Page]) -> None:
    (notebook,) = (site / "examples").glob("*.ipynb")
    targets = [value for _, value in pages[notebook.with_suffix(".html")].references]
    assert notebook.name in targets
    assert len([value for value in targets if value.startswith(f"{notebook.stem}-")]) == 3


def test_make_docs_builds_it() -> None:
    (recipe,) = re.findall(r"^docs: .*\n(?:\t.*\n)+", read("Makefile"), re.MULTILINE)
    assert "-m docs.website" in recipe
    assert (ROOT / "docs/website/__main__.py").is_file()


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_figures_are_those_of_the_code(name: str) -> None:
    assert read(f"docs/images/{name}.svg") == FIGURES[name]().svg(), "run: python -m docs.website.figures"


def test_drawings_follow_the_page(site: Path) -> None:
    page = (site / "concepts/summary.html").read_text(encoding="utf-8")
    assert 'class="figure"' in page
    assert "images/summary.svg" not in page
