"""One run of a pipeline of the core, to its end: told as it goes, checkpointed, stopped in good order, published once."""

from __future__ import annotations

import logging
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import select

from app.clock import database_now
from app.db import OUTAGE_PATIENCE_S, attempts_while_away
from app.jobs.estimates import record_outcome
from app.jobs.events import EventType
from app.jobs.models import EstimateOutcome, Run
from app.jobs.publishing import StoredArtifact, store_artifact
from farzi_core.data.sequences import SequenceDataset
from farzi_core.manifest import MANIFEST_NAME, write_manifest
from farzi_core.phases import Pipeline
from farzi_core.progress import (
    ArtifactFile,
    OuterLoopEnded,
    PhaseStarted,
    Progress,
    ResultReady,
    StepFinished,
    ValidationMeasured,
)
from worker.checkpoints import CheckpointKeeper, load_newest
from worker.context import RunContext, RunStoppedError
from worker.limits import capped_memory
from worker.machine import name_machine

logger = logging.getLogger(__name__)

# What torch's allocator for the CPU says; it has no exception of its own.
_CPU_ALLOCATOR = "DefaultCPUAllocator"


def run_pipeline(context: RunContext, make: Callable[[Path], Pipeline], sources: dict[str, Any]) -> None:
    """Run a job from its newest checkpoint, or from the start, to its end.

    Args:
        context: of the run.
        make: returns the pipeline at its start, given a directory for its artifacts.
        sources: what goes into the manifest besides what the pipeline knows: where the data came from.

    Raises:
        RunStoppedError: the run was told to stop; its state is in a checkpoint.
        FarziError: the job can only fail.
        MemoryError: the job does not fit this machine.
    """
    if context.settings.torch_threads:
        torch.set_num_threads(context.settings.torch_threads)
    try:
        with capped_memory(context.settings.run_memory_bytes):
            _run(context, make, sources)
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error
    except RuntimeError as error:
        if _CPU_ALLOCATOR in str(error):
            raise MemoryError(str(error)) from error
        raise


def load_dataset(context: RunContext) -> SequenceDataset:
    """Return the job's data as validation left them."""
    assert context.dataset.canonical_key is not None, "a run on a data set that is not ready"
    canonical = context.directory / "canonical.parquet"
    context.store.fetch_file(context.dataset.canonical_key, canonical)
    return SequenceDataset.read_parquet(canonical)


def _run(context: RunContext, make: Callable[[Path], Pipeline], sources: dict[str, Any]) -> None:
    artifacts = context.subdirectory("artifacts")

    def resume(saved: Path) -> Pipeline:
        resumed = make(artifacts)
        resumed.load_checkpoint(saved)
        return resumed

    pipeline = load_newest(context, resume) or make(artifacts)
    keeper = CheckpointKeeper(context, pipeline.save_checkpoint)
    done = context.job.progress_step
    for progress in pipeline.run():
        if isinstance(progress, ResultReady):
            logger.info("checkpoints took %.3f %% of the run's time", 100 * keeper.share_of_time)
            _publish(context, progress, sources)
            return
        if isinstance(progress, StepFinished):
            done = progress.done
        _tell(context, progress)
        if context.stop.is_set():
            keeper.save(done)
            raise RunStoppedError
        keeper.save_if_due(done)


def _tell(context: RunContext, progress: Progress) -> None:
    if isinstance(progress, PhaseStarted):
        context.writer.phase(progress.phase)
    elif isinstance(progress, StepFinished):
        context.writer.metrics(progress.step, progress.metrics)
        context.writer.progress(progress.done, progress.total)
    elif isinstance(progress, ValidationMeasured):
        context.writer.metrics(progress.step, progress.metrics)
        context.writer.event(
            EventType.VALIDATION_MEASURED,
            {"step": progress.step, "metrics": progress.metrics, "best": progress.best},
        )
    elif isinstance(progress, OuterLoopEnded):
        logger.info("%s", progress.message)
        context.writer.event(EventType.OUTER_LOOP_ENDED, asdict(progress))


def _publish(context: RunContext, result: ResultReady, sources: dict[str, Any]) -> None:
    artifacts = [_store(context, file) for file in result.files]
    manifest = {
        **result.manifest,
        "job_id": context.job.id,
        **sources,
        "summary": result.summary,
        "files": {artifact.name: artifact.entry for artifact in artifacts},
    }
    artifacts.append(_store(context, write_manifest(manifest, context.directory / MANIFEST_NAME)))
    checkpoints = context.writer.publish(manifest, artifacts)
    # Maintenance finds checkpoints that stay behind; what the run took is known only here.
    for attempt in attempts_while_away(OUTAGE_PATIENCE_S):
        with attempt:
            _record_outcome(context, sum(artifact.size_bytes for artifact in artifacts))
    for key in checkpoints:
        context.store.delete(key)


def _record_outcome(context: RunContext, output_bytes: int) -> None:
    """Let later estimates learn from a job that was done in one run: of several, nobody knows how much was done twice."""
    with context.session_factory.begin() as session:
        runs = session.scalars(select(Run).where(Run.job_id == context.job.id)).all()
        if len(runs) != 1 or runs[0].ended_at is None or session.get(EstimateOutcome, context.job.id) is not None:
            return
        record_outcome(
            session,
            context.job,
            name_machine(_device(), torch.get_num_threads()),
            seconds=(runs[0].ended_at - runs[0].started_at).total_seconds(),
            memory_bytes=_peak_memory_bytes(),
            output_bytes=output_bytes,
            at=database_now(session),
        )


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _peak_memory_bytes() -> int:
    """Return the most memory that the run had: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _store(context: RunContext, file: ArtifactFile) -> StoredArtifact:
    return store_artifact(context.store, context.lease, file.name, file.path, file.media_type)
