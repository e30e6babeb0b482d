"""Every block that a reader would run is run by a test, or says why it is not."""

from __future__ import annotations

import pytest

from tests.docs.blocks import every_block
from tests.docs.test_pages import FOLLOWED
from tests.project.repository import read

# Pages that a test of its own part runs, and the language that it runs of them.
ELSEWHERE = {
    "docs/synthetic-data.md": ("tests/farzi_core/test_synthetic_data_page.py", "python"),
    "docs/api.md": ("tests/app/test_guide.py", "sh"),
    "docs/client.md": ("tests/farzi_client/test_results.py", "python"),
}
GUIDE = ("tests/app/test_guide.py", "sh")
MOST_NOT_RUN = 16


def test_every_block_is_run_or_says_why_not() -> None:
    silent = []
    for block in every_block():
        runner = ELSEWHERE.get(block.page) or (GUIDE if block.page.startswith("docs/api/") else None)
        run = block.page in FOLLOWED or (runner is not None and block.language == runner[1])
        if not run and not block.not_run:
            silent.append(str(block))
    assert silent == [], "run by no test: name the page in FOLLOWED or ELSEWHERE, or write <!-- not run: REASON --> before it"


def test_what_is_not_run_is_the_exception() -> None:
    blocks = every_block()
    assert len([block for block in blocks if block.not_run]) <= MOST_NOT_RUN < len(blocks) / 3


@pytest.mark.parametrize("page", sorted(ELSEWHERE))
def test_the_test_of_a_page_names_it(page: str) -> None:
    assert page in read(ELSEWHERE[page][0])


def test_the_guide_runs_every_page_of_its_folder() -> None:
    assert '(DOCS / "api").glob("*.md")' in read(GUIDE[0])
