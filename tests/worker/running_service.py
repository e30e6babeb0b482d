"""A service of real worker processes around a database and an object store, and jobs small enough to wait for."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import SecretStr
from sqlalchemy import select

from app.clock import database_now
from app.datasets.models import Dataset, DatasetStatus
from app.db import make_engine, make_session_factory
from app.jobs.events import EventType, append_event
from app.jobs.models import Job, JobEvent, JobMetric, Run
from app.jobs.outbox import enqueue
from app.jobs.states import TERMINAL_STATUSES, JobKind, JobStatus, StopRequest
from app.migrate import upgrade
from app.settings import Settings
from app.storage import make_object_store
from farzi_core.data.sequences import SequenceDataset, Vocabulary
from farzi_core.presets import resolve_spec
from tests.services.rows import add_dataset, add_job

SMALL_SPEC: dict[str, Any] = {
    "preset": "quick",
    "student": {"hidden_size": 8, "num_layers": 1, "max_length": 12},
    "synthetic": {"num_sequences": 4, "sequence_length": 8, "latent_dim": 8},
    "inner": {"num_steps": 8, "min_steps": 4, "batch_size": 4},
    "meta_gradient": {"window": 4},
    "outer": {"num_steps": 6, "batch_size": 16, "validate_every": 50, "patience": None},
    "teacher": {"num_steps": 10},
    "evaluation": {"num_seeds": 1, "max_steps": 10},
}
# Long enough to be met in the middle, short enough to be waited for.
LONG_OUTER_STEPS = 100
QUICK_TIMES = {
    "lease_s": 6.0,
    "heartbeat_s": 1.0,
    "control_poll_s": 0.2,
    "checkpoint_interval_s": 0.3,
    "checkpoint_max_share": 1.0,
    "stop_grace_s": 20.0,
}


class RunningService:
    """Rows and objects of one service, and the processes that a test starts on them."""

    def __init__(self, **settings: Any) -> None:
        self.settings = Settings(**QUICK_TIMES | {"torch_threads": 1, "calibrate": False} | settings)
        upgrade(self.settings)
        self.engine = make_engine(self.settings)
        self.session_factory = make_session_factory(self.engine)
        self.store = make_object_store(self.settings)
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``python -m ...`` with this service's settings."""
        given = self.settings.model_dump(exclude_unset=True)
        values = {key: value.get_secret_value() if isinstance(value, SecretStr) else value for key, value in given.items()}
        environment = {f"FARZI_{key.upper()}": str(value) for key, value in values.items()}
        temporary = self.settings.resolved_data_dir / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        own = {"OMP_NUM_THREADS": "1", "TMPDIR": str(temporary)}
        process = subprocess.Popen([sys.executable, "-m", *arguments], env={**os.environ, **own, **environment})
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.store.close()
        self.engine.dispose()

    def add_ready_dataset(self, directory: Path, dataset: SequenceDataset | None = None) -> str:
        """Add a data set as its validation would have left it; which one it is matters to nobody who names none."""
        dataset = dataset or make_sequences()
        path = directory / "canonical.parquet"
        dataset.write_parquet(path)
        summary = dataset.summary()
        with self.session_factory.begin() as session:
            row = add_dataset(
                session,
                task=dataset.task,
                sha256="0" * 64,
                num_sequences=summary.num_sequences,
                num_events=summary.num_events,
                vocab_size=summary.vocab_size,
            )
            row.canonical_key = f"datasets/{row.id}/1/canonical.parquet"
            self.store.put_file(row.canonical_key, path)
            return row.id

    def submit(self, dataset_id: str, *, outer_steps: int = 6, **fields: Any) -> str:
        """Queue a distillation."""
        overrides = {**SMALL_SPEC, "outer": {**SMALL_SPEC["outer"], "num_steps": outer_steps}}
        spec = resolve_spec("sequential_recommendation", overrides).model_dump(mode="json")
        with self.session_factory.begin() as session:
            return add_job(session, session.get_one(Dataset, dataset_id), spec=spec, **fields).id

    def submit_validation(self, content: bytes, directory: Path, **fields: Any) -> tuple[str, str]:
        """Store an upload and queue its validation; return the ids of data set and job."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = directory / f"upload-{sha256}-{threading.get_ident()}"  # threads submit side by side
        path.write_bytes(content)
        with self.session_factory.begin() as session:
            known = {"sha256": sha256, "size_bytes": len(content)}
            dataset = add_dataset(session, status=DatasetStatus.VALIDATING, **known, **fields)
            dataset.content_key = f"datasets/{dataset.id}/content/1"
            self.store.put_file(dataset.content_key, path)
            return dataset.id, add_job(session, dataset, kind=JobKind.VALIDATION).id

    def job(self, job_id: str) -> Job:
        with self.session_factory() as session:
            return session.get_one(Job, job_id)

    def dataset(self, dataset_id: str) -> Dataset:
        with self.session_factory() as session:
            return session.get_one(Dataset, dataset_id)

    def runs(self, job_id: str) -> list[str | None]:
        with self.session_factory() as session:
            return list(session.scalars(select(Run.outcome).where(Run.job_id == job_id).order_by(Run.number)))

    def metric_steps(self, job_id: str) -> set[tuple[str, int]]:
        with self.session_factory() as session:
            return {(row.name, row.step) for row in session.scalars(select(JobMetric).where(JobMetric.job_id == job_id))}

    def events(self, job_id: str) -> list[JobEvent]:
        """All events, whose numbers have to be dense."""
        with self.session_factory() as session:
            events = list(session.scalars(select(JobEvent).where(JobEvent.job_id == job_id).order_by(JobEvent.seq)))
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        return events

    def event_types(self, job_id: str) -> list[str]:
        return [event.type for event in self.events(job_id)]

    def wait_for_status(self, job_id: str, *statuses: JobStatus, timeout_s: float = 240.0) -> Job:
        self.wait_until(lambda: self.job(job_id).status in statuses, f"{statuses}", timeout_s=timeout_s, job_id=job_id)
        return self.job(job_id)

    def wait_for_end(self, job_id: str, *, timeout_s: float = 240.0) -> Job:
        self.wait_until(lambda: self.job(job_id).status in TERMINAL_STATUSES, "an end", timeout_s=timeout_s)
        return self.job(job_id)

    def wait_for_checkpoint(self, job_id: str) -> None:
        """Wait until a run is under way whose loss would cost something."""
        self.wait_until(lambda: self.job(job_id).checkpoint_key is not None, "a checkpoint", job_id=job_id)

    def wait_until(self, check: Callable[[], bool], what: str, *, timeout_s: float = 240.0, job_id: str | None = None) -> None:
        give_up_at = time.monotonic() + timeout_s
        while not check():
            seen = [(event.type, event.data) for event in self.events(job_id)] if job_id else ""
            assert time.monotonic() < give_up_at, f"not within {timeout_s} s: {what}; {seen}"
            # In this order: a job that fails in between has been waited for.
            assert job_id is None or self.job(job_id).status != JobStatus.FAILED or check(), f"failed before {what}: {seen}"
            time.sleep(0.1)

    def ask(self, job_id: str, request: StopRequest) -> bool:
        """Do what the API does when a running job is cancelled or paused; return whether it was running."""
        with self.session_factory.begin() as session:
            job = session.scalar(select(Job).where(Job.id == job_id, Job.status == JobStatus.RUNNING).with_for_update())
            if job is None:
                return False
            job.stop_requested = request
            if request is StopRequest.CANCEL:
                job.status = JobStatus.CANCELLING
                append_event(session, job_id, EventType.JOB_CANCELLING, {}, at=database_now(session))
            return True

    def resume(self, job_id: str) -> None:
        """Do what the API does when a paused job is resumed."""
        with self.session_factory.begin() as session:
            job = session.get_one(Job, job_id, with_for_update=True)
            assert job.status == JobStatus.PAUSED
            job.status = JobStatus.QUEUED
            now = database_now(session)
            append_event(session, job_id, EventType.JOB_RESUMED, {}, at=now)
            enqueue(session, job, at=now)


def find_run_process(job_id: str) -> int:
    """Return the id of the process that runs the job, as the operating system's process list has it."""
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if job_id.encode() in command:
            return int(entry.name)
    raise AssertionError(f"no process runs {job_id}")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def make_sequences(num_sequences: int = 60, vocab_size: int = 20) -> SequenceDataset:
    """Walks round a ring of items, so that there is something to learn."""
    random = np.random.default_rng(0)
    lengths = random.integers(8, 16, num_sequences)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    walks = [(random.integers(vocab_size) + np.cumsum(random.integers(1, 3, length))) % vocab_size for length in lengths]
    tokens = tuple(f"item-{number}" for number in range(vocab_size))
    return SequenceDataset("sequential_recommendation", Vocabulary(tokens), np.concatenate(walks).astype(np.int32), offsets)
