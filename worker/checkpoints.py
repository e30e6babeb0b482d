"""Checkpoints of a run in the object store: one object each, the two newest kept, the newest that loads wins."""

from __future__ import annotations

import logging
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from app.jobs.events import EventType
from app.storage import DamagedObjectError, ObjectMissingError
from farzi_core.errors import ArtifactError
from worker.context import RunContext

logger = logging.getLogger(__name__)

T = TypeVar("T")


class CheckpointKeeper:
    """Saves what ``save(directory)`` writes, when it is due."""

    def __init__(self, context: RunContext, save: Callable[[Path], None]) -> None:
        self._context = context
        self._save = save
        self._saved_at = time.monotonic()
        self._step = -1

    def save_if_due(self, step: int) -> None:
        if time.monotonic() - self._saved_at >= self._context.settings.checkpoint_interval_s:
            self.save(step)

    def save(self, step: int) -> None:
        """Save now; the checkpoint counts once the job's row names it."""
        if step == self._step:
            return
        directory = self._context.subdirectory(f"checkpoint-{step}")
        self._save(directory)
        archive = directory.with_suffix(".tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(directory, arcname=".")
        key = f"{self._context.prefix}/checkpoints/{step}/checkpoint.tar"
        self._context.store.put_file(key, archive)
        dropped = self._context.writer.checkpoint(key, step)
        _remove(directory)
        archive.unlink()
        if dropped is not None and dropped != key:
            self._context.store.delete(dropped)
        self._saved_at = time.monotonic()
        self._step = step


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


def _remove(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
