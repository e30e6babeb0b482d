"""The sizes of a data set, as a spec is checked against them."""

from __future__ import annotations

from app.datasets.models import Dataset, DatasetStatus
from app.errors import ServiceError
from farzi_core.config import DataSummary, Task


def summarise_ready(dataset: Dataset) -> DataSummary:
    """Return the sizes of a data set that validation accepted."""
    if dataset.status == DatasetStatus.INVALID:
        raise ServiceError("dataset_invalid", "The data set is invalid: see its report; upload a corrected file as a new one.")
    if dataset.status != DatasetStatus.READY:
        raise ServiceError("dataset_not_ready", f"The data set has status {dataset.status}; wait until it is ready.")
    counts = (dataset.num_sequences, dataset.num_events, dataset.vocab_size, dataset.max_sequence_length)
    num_sequences, num_events, vocab_size, longest = (count or 0 for count in counts)
    task: Task = dataset.task  # type: ignore[assignment]
    return DataSummary(task, num_sequences, num_events, vocab_size, longest)
