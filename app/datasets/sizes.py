"""The sizes of a data set, as a spec is checked against them."""

from __future__ import annotations

from typing import Any

from app.datasets.models import Dataset, DatasetStatus
from app.errors import ServiceError
from farzi_core.config import DataSummary, Task
from farzi_core.training_part import measure_training_part


def summarise_ready(dataset: Dataset) -> DataSummary:
    """Return the sizes of a data set that validation accepted."""
    if dataset.status == DatasetStatus.INVALID:
        raise ServiceError("dataset_invalid", "The data set is invalid: see its report; upload a corrected file as a new one.")
    if dataset.status != DatasetStatus.READY:
        raise ServiceError("dataset_not_ready", f"The data set has status {dataset.status}; wait until it is ready.")
    counts = (dataset.num_sequences, dataset.num_events, dataset.vocab_size, dataset.max_sequence_length)
    num_sequences, num_events, vocab_size, longest = (count or 0 for count in counts)
    task: Task = dataset.task  # type: ignore[assignment]
    return DataSummary(task, num_sequences, num_events, vocab_size, longest, _measure_training_part(dataset))


def _measure_training_part(dataset: Dataset) -> int | None:
    """Return the events of the longest training sequence, or of all training lines; None: the report does not say."""
    statistics: dict[str, Any] = (dataset.report or {}).get("statistics") or {}
    if dataset.task == "language_modeling":
        return statistics.get("num_train_events")
    sizes = (dataset.max_sequence_length or 0, dataset.num_sequences or 0, dataset.num_events or 0)
    return measure_training_part(*sizes, statistics.get("num_short_sequences"))
