"""Uploads as a user would make them, read in one call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from farzi_core.config import DataFormat, Task
from farzi_core.data.reading import ReadResult, read_dataset
from farzi_core.data.sequences import SequenceDataset
from farzi_core.data_options import ColumnMapping, DatasetOptions

RECOMMENDATION: Task = "sequential_recommendation"

# Two users, four items, out of time order.
ROWS = [("u1", "a", 30), ("u2", "b", 5), ("u1", "b", 10), ("u1", "c", 20), ("u2", "d", 6), ("u2", "b", 7)]
SEQUENCES = {"u1": ["b", "c", "a"], "u2": ["b", "d", "b"]}


def read_bytes(
    directory: Path,
    content: bytes | str,
    data_format: DataFormat,
    *,
    columns: dict[str, Any] | None = None,
    max_rows: int | None = None,
    **options: Any,
) -> ReadResult:
    """Write ``content`` to a file and read it."""
    path = directory / "upload"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_dataset(
        path,
        task="language_modeling" if data_format == "text" else RECOMMENDATION,
        format=data_format,
        columns=None if columns is None else ColumnMapping.model_validate(columns),
        options=DatasetOptions.model_validate(options),
        max_rows=max_rows,
    )


def sequences_of(dataset: SequenceDataset | None) -> dict[str, list[str]]:
    """Return the sequences in the user's own ids, by name."""
    assert dataset is not None
    assert dataset.names is not None
    return {name: dataset.vocabulary.decode(dataset.sequence(index).tolist()) for index, name in enumerate(dataset.names)}


def places(result: ReadResult) -> list[tuple[int | None, str | None, str]]:
    """Return line, column and code of every problem; there must be no data set."""
    assert result.dataset is None
    return [(problem["line"], problem["column"], problem["code"]) for problem in result.report["problems"]]


def join_rows(separator: str, header: str = "") -> str:
    """Return the rows as lines of text."""
    return header + "".join(f"{user}{separator}{item}{separator}{at}\n" for user, item, at in ROWS)
