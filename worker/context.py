"""What one run works with: its job as it was claimed, and the places it may write to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from app.datasets.models import Dataset
from app.jobs.leases import Lease
from app.jobs.models import Job
from app.jobs.progress import JobWriter
from app.settings import Settings
from app.storage import ObjectStore


class RunStoppedError(Exception):
    """The run was told to stop and has done so in good order."""


@dataclass(frozen=True)
class RunContext:
    """One run.

    Attributes:
        job: row as it was when the run began.
        dataset: row of the job's data set, at the same time.
        directory: scratch space, removed at the end.
        stop: set when the supervisor asked the run to stop.
    """

    settings: Settings
    session_factory: sessionmaker[Session]
    store: ObjectStore
    lease: Lease
    writer: JobWriter
    job: Job
    dataset: Dataset
    directory: Path
    stop: threading.Event

    @property
    def prefix(self) -> str:
        """Where this run's objects go: under its token, so that it overwrites nothing of another run."""
        return f"jobs/{self.lease.job_id}/{self.lease.token}"

    def subdirectory(self, name: str) -> Path:
        path = self.directory / name
        path.mkdir()
        return path
