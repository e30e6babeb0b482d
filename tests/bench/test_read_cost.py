"""The page has the figures that are committed."""

from __future__ import annotations

import json

from bench.read_cost import RESULTS, render_table
from tests.project.repository import read


def test_the_document_has_the_committed_figures() -> None:
    assert render_table(json.loads(RESULTS.read_text())) in read("docs/benchmarks-service.md")
