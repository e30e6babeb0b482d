"""What is committed of lists and estimates is what the documents show, and the tables are of it."""

from __future__ import annotations

import json
from types import ModuleType

import pytest

from app.db import new_id
from bench import estimates, lists
from tests.project.repository import read


@pytest.mark.parametrize(
    ("module", "rows", "document"),
    [(estimates, "jobs", "docs/estimates.md"), (lists, "rows", "docs/benchmarks-service.md")],
)
def test_documents_have_the_committed_figures(module: ModuleType, rows: str, document: str) -> None:
    committed = json.loads(module.RESULTS.read_text())[rows]
    assert "\n".join(module.table(committed)) in read(document)


def test_ids_of_the_filled_database_are_in_the_order_of_their_times() -> None:
    ids = [lists.job_id(number) for number in range(300)]
    assert ids == sorted(ids)
    assert len(ids[0]) == len(new_id("job"))
