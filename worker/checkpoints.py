"""Checkpoints of a run in the object store: one object each, the two newest kept, the newest that loads wins."""

from __future__ import annotations

import logging
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from app.jobs.events import EventType
from app.storage import DamagedObjectError, ObjectMissingError, StorageError
from farzi_core.errors import ArtifactError
from worker.context import RunContext

logger = logging.getLogger(__name__)

T = TypeVar("T")

LONGEST_INTERVALS = 10


class CheckpointKeeper:
    """Saves what ``save(directory)`` writes, when it is due: after the interval of the settings, or later where saving is slow.

    What a checkpoint took decides when the next one comes, so that together they take no more of a run than they may; but what
    a lost run costs stays bounded.
    """

    def __init__(self, context: RunContext, save: Callable[[Path], None]) -> None:
        self._context = context
        self._save = save
        self._saved_at = self._began_at = time.monotonic()
        self._saving_s = 0.0
        self._wait_s = context.settings.checkpoint_interval_s
        self._step = -1

    @property
    def share_of_time(self) -> float:
        """What part of the run's time went into its checkpoints."""
        return self._saving_s / max(time.monotonic() - self._began_at, 1e-9)

    def save_if_due(self, step: int) -> None:
        if time.monotonic() - self._saved_at < self._wait_s:
            return
        try:
            self.save(step)
        except StorageError as error:
            # The work is worth more than its checkpoint: go on, and try again when the next one would be due.
            logger.warning("no checkpoint was written: %s", error)

    def save(self, step: int) -> None:
        """Save now; the checkpoint counts once the job's row names it."""
        if step == self._step:
            return
        began_at, settings = time.monotonic(), self._context.settings
        self._wait_s = settings.checkpoint_interval_s
        try:
            self._save_as(f"{self._context.prefix}/checkpoints/{step}/checkpoint.tar", step)
            self._step = step
            slow_s = (time.monotonic() - began_at) / settings.checkpoint_max_share
            self._wait_s = max(self._wait_s, min(slow_s, LONGEST_INTERVALS * self._wait_s))
        finally:
            self._saved_at = time.monotonic()
            self._saving_s += self._saved_at - began_at

    def _save_as(self, key: str, step: int) -> None:
        with tempfile.TemporaryDirectory(dir=self._context.directory) as scratch:
            content, archive = Path(scratch) / "content", Path(scratch) / "checkpoint.tar"
            content.mkdir()
            self._save(content)
            with tarfile.open(archive, "w") as tar:
                tar.add(content, arcname=".")
            self._context.store.put_file(key, archive)
        dropped = self._context.writer.checkpoint(key, step)
        if dropped is not None and dropped != key:
            self._context.store.delete(dropped)


def load_newest(context: RunContext, load: Callable[[Path], T]) -> T | None:
    """Return what ``load(directory)`` makes of the newest checkpoint that is not damaged; None if there is none."""
    for key in (context.job.checkpoint_key, context.job.previous_checkpoint_key):
        if key is None:
            continue
        try:
            return load(_fetch(context, key))
        except ArtifactError as error:
            logger.warning("checkpoint %s is skipped: %s", key, error)
            context.writer.event(EventType.CHECKPOINT_SKIPPED, {"reason": error.message})
    return None


def _fetch(context: RunContext, key: str) -> Path:
    directory = context.subdirectory(f"resume-{key.split('/')[-2]}")
    archive = directory.with_suffix(".tar")
    try:
        context.store.fetch_file(key, archive)
        with tarfile.open(archive) as tar:
            tar.extractall(directory, filter="data")
    except (ObjectMissingError, DamagedObjectError, tarfile.TarError, EOFError) as error:
        raise ArtifactError(f"The checkpoint cannot be unpacked ({error}); the one before is used.") from error
    archive.unlink()
    return directory
