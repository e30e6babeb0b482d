"""What validation found: the end of a data set's way to ``ready`` or ``invalid``, written by the run that read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from app.datasets.models import Dataset, DatasetStatus
from app.webhooks.announcing import announce_dataset


@dataclass(frozen=True)
class ValidatedContent:
    """What is known of a data set that could be read."""

    canonical_key: str
    num_sequences: int
    num_events: int
    vocab_size: int
    max_sequence_length: int
    report: dict[str, Any]
    preview: list[dict[str, Any]]


def accept_dataset(session: Session, dataset_id: str, content: ValidatedContent, *, at: datetime) -> None:
    """Make the data set ready; the caller holds the lease of its validation job."""
    dataset = _validating(session, dataset_id)
    dataset.status = DatasetStatus.READY
    dataset.canonical_key = content.canonical_key
    dataset.num_sequences = content.num_sequences
    dataset.num_events = content.num_events
    dataset.vocab_size = content.vocab_size
    dataset.max_sequence_length = content.max_sequence_length
    dataset.report = content.report
    dataset.preview = content.preview
    dataset.updated_at = at
    announce_dataset(session, dataset, at=at)


def refuse_dataset(session: Session, dataset_id: str, report: dict[str, Any], *, at: datetime) -> None:
    """Make the data set invalid for the problems in ``report``."""
    dataset = _validating(session, dataset_id)
    dataset.status = DatasetStatus.INVALID
    dataset.report = report
    dataset.updated_at = at
    announce_dataset(session, dataset, at=at)


def reject_dataset(session: Session, dataset_id: str, code: str, message: str, *, at: datetime) -> None:
    """Make the data set invalid because it could not be read to its end."""
    problem = {"line": None, "column": None, "value": None, "code": code, "reason": message}
    refuse_dataset(session, dataset_id, {"num_problems": 1, "problems": [problem]}, at=at)


def _validating(session: Session, dataset_id: str) -> Dataset:
    dataset = session.get(Dataset, dataset_id, with_for_update=True, populate_existing=True)
    assert dataset is not None, f"validation of a data set that does not exist: {dataset_id}"
    return dataset
