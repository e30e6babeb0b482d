"""The way in: one uploaded file, whatever its format, to a data set with report and preview.

What is wrong with the *file* never leaves as an exception: it is a problem in the report, at its line and column, and there
is no data set. Knows nothing of storage or jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farzi_core.config import DataFormat, Task
from farzi_core.data.assembling import assemble_sequences
from farzi_core.data.interactions import read_interactions
from farzi_core.data.line_blocks import OnProgress
from farzi_core.data.problems import Problem, ProblemLog
from farzi_core.data.report import (
    count_popularity,
    count_sizes,
    count_times,
    describe_interactions,
    describe_text,
    preview_sequences,
)
from farzi_core.data.sequence_lines import read_sequence_lines
from farzi_core.data.sequences import SequenceDataset
from farzi_core.data.text import UNKNOWN, read_text
from farzi_core.data_options import ColumnMapping, DatasetOptions
from farzi_core.errors import DataError

TASK_FORMATS: dict[Task, tuple[DataFormat, ...]] = {
    "sequential_recommendation": ("csv", "tsv", "jsonl", "parquet", "inter", "sequences"),
    "language_modeling": ("text",),
}


@dataclass(frozen=True)
class ReadResult:
    """What came of a file.

    Attributes:
        dataset: None when the file is refused.
        report: JSON object: ``num_rows`` (None: refused before they were counted), ``num_problems``, ``problem_counts`` (by
            code), ``problems`` (the first 1,000, each ``line, column, value, reason, code``), ``dropped_rows`` (by cause),
            ``warnings``, ``reading`` (how the file was understood), ``histograms`` (``sequence_length``, ``popularity``,
            ``time``; each a list of ``low, high, count``) and ``statistics``; the last two are empty without a data set, and
            no row counts as dropped.
        preview: the first 20 sequences: ``name, num_events, events``.
    """

    dataset: SequenceDataset | None
    report: dict[str, Any]
    preview: list[dict[str, Any]]


@dataclass
class _Reading:
    """What is known of the file so far; still there when reading it ends in an error."""

    log: ProblemLog
    num_rows: int | None = None
    how: dict[str, Any] | None = None


@dataclass(frozen=True)
class _Content:
    dataset: SequenceDataset
    dropped_rows: dict[str, int]
    histograms: dict[str, Any]
    statistics: dict[str, Any]


def read_dataset(
    path: Path,
    *,
    task: Task,
    format: DataFormat,  # noqa: A002  the name in the API
    columns: ColumnMapping | None = None,
    options: DatasetOptions | None = None,
    max_rows: int | None = None,
    on_progress: OnProgress | None = None,
) -> ReadResult:
    """Read an uploaded file.

    Args:
        path: the bytes as uploaded.
        task: what the data are for; decides which formats are allowed.
        format: declared format.
        columns: which columns hold what; tables only, see :class:`ColumnMapping`.
        options: reading options.
        max_rows: most rows (text and sequence lines: most events) of a file.
        on_progress: called now and then with how much of the file has been read, and how much there is.

    Returns:
        The data set, or None with the reason among the report's problems.

    Raises:
        OSError: the file is not there or cannot be read.

    Cost: one pass over the file; memory about 100 bytes a row plus 300 bytes a distinct user or item.
    """
    reading = _Reading(ProblemLog())
    options = options or DatasetOptions()
    try:
        _require_format(task, format)
        if format == "text":
            content = _read_text(path, options, reading, max_rows=max_rows, on_progress=on_progress)
        else:
            content = _read_events(path, format, columns, options, reading, max_rows=max_rows, on_progress=on_progress)
    except DataError as error:
        return _refuse(reading, error)
    if content is None:
        return _refuse(reading)
    report = _build_report(reading, content)
    return ReadResult(content.dataset, report, preview_sequences(content.dataset))


def _read_text(
    path: Path,
    options: DatasetOptions,
    reading: _Reading,
    *,
    max_rows: int | None,
    on_progress: OnProgress | None,
) -> _Content | None:
    found = read_text(path, options, reading.log, max_rows=max_rows, on_progress=on_progress)
    reading.num_rows = found.num_rows
    reading.how = {"line_is": "line", "tokenizer": options.tokenizer}
    if _has_refused_rows(reading, options):
        return None
    dataset = found.dataset
    histograms = {"sequence_length": count_sizes(dataset.lengths), "popularity": count_popularity(dataset)}
    statistics = describe_text(dataset, found.num_train_events, dataset.vocabulary.ids[UNKNOWN])
    return _Content(dataset, {"bad": found.num_rows - dataset.num_sequences}, histograms, statistics)


def _read_events(
    path: Path,
    data_format: DataFormat,
    columns: ColumnMapping | None,
    options: DatasetOptions,
    reading: _Reading,
    *,
    max_rows: int | None,
    on_progress: OnProgress | None,
) -> _Content | None:
    if data_format == "sequences":
        found = read_sequence_lines(path, reading.log, max_rows=max_rows, on_progress=on_progress)
    else:
        found = read_interactions(path, data_format, columns, options, reading.log, max_rows=max_rows, on_progress=on_progress)
    reading.num_rows, reading.how = found.num_rows, found.reading
    if _has_refused_rows(reading, options):
        return None
    num_good, time_kind = len(found.interactions.users), found.interactions.time_kind
    dataset, times = assemble_sequences(found.interactions, options)
    histograms = {"sequence_length": count_sizes(dataset.lengths), "popularity": count_popularity(dataset)}
    if times is not None:
        histograms["time"] = count_times(times, time_kind)
    dropped = {
        "bad": found.num_bad_rows,
        "below_min_rating": found.num_below_rating,
        "rare": num_good - dataset.num_events,
    }
    return _Content(dataset, dropped, histograms, describe_interactions(dataset, times))


def _has_refused_rows(reading: _Reading, options: DatasetOptions) -> bool:
    return reading.log.num_problems > 0 and options.bad_rows == "refuse"


def _require_format(task: Task, data_format: DataFormat) -> None:
    allowed = TASK_FORMATS[task]
    if data_format not in allowed:
        raise DataError(
            f"format {data_format!r} does not fit task {task!r}; allowed: {', '.join(allowed)}", code="format_not_allowed"
        )


def refuse_unread(error: DataError) -> ReadResult:
    """Return the result of a file that could not even be opened for reading."""
    return _refuse(_Reading(ProblemLog()), error)


def _refuse(reading: _Reading, error: DataError | None = None) -> ReadResult:
    if error is not None:
        reading.log.refuse(Problem.of_error(error))
    return ReadResult(None, _build_report(reading, None), [])


def _build_report(reading: _Reading, content: _Content | None) -> dict[str, Any]:
    return {
        "num_rows": reading.num_rows,
        "num_problems": reading.log.num_problems,
        "problem_counts": {code: count for code, count in reading.log.counts.most_common() if count},
        "problems": reading.log.to_json(),
        "dropped_rows": {} if content is None else content.dropped_rows,
        "warnings": reading.log.warnings,
        "reading": reading.how or {},
        "histograms": {} if content is None else content.histograms,
        "statistics": {} if content is None else content.statistics,
    }
