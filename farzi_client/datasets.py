"""What is said of data sets: formats, tasks, and problems as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from farzi_client.models import Dataset

Task = Literal["sequential_recommendation", "language_modeling"]
DataFormat = Literal["csv", "tsv", "jsonl", "parquet", "inter", "sequences", "text"]

# A file of this size goes up in parts.
PARTS_FROM_BYTES = 64 << 20
FIRST_POLL_S = 0.2
LONGEST_POLL_S = 2.0
NUM_PROBLEMS_SHOWN = 3


def describe_problem(problem: Mapping[str, Any]) -> str:
    """Return one row-level problem of a validation report as a sentence: where, and why."""
    places = [f"{name} {problem[name]}" for name in ("line", "column") if problem.get(name) is not None]
    reason = str(problem.get("reason") or "not allowed")
    return f"{', '.join(places)}: {reason}" if places else reason


def describe_invalid(dataset: Dataset, report: Mapping[str, Any]) -> str:
    """Return why a data set is invalid, by the first problems of its report."""
    shown = [describe_problem(problem) for problem in (report.get("problems") or [])[:NUM_PROBLEMS_SHOWN]]
    num_more = int(report.get("num_problems") or 0) - len(shown)
    more = f" (and {num_more} more)" if num_more > 0 else ""
    return f"data set {dataset.id} is invalid: {'; '.join(shown) or 'see its report'}{more}"
