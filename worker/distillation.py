"""A run of kind ``distillation``: from the canonical data set to the published artifacts, told as it goes."""

from __future__ import annotations

import torch

from app.jobs.events import EventType
from app.jobs.publishing import StoredArtifact, publish, store_artifact
from farzi_core.config import DistillationSpec
from farzi_core.data.sequences import SequenceDataset
from farzi_core.manifest import MANIFEST_NAME, write_manifest
from farzi_core.pipeline import DistillationPipeline
from farzi_core.progress import ArtifactFile, PhaseStarted, Progress, ResultReady, StepFinished, ValidationMeasured
from worker.checkpoints import CheckpointKeeper, load_newest
from worker.context import RunContext, RunStoppedError


def run_distillation(context: RunContext) -> None:
    """Run the job to its end.

    Raises:
        RunStoppedError: the run was told to stop; its state is in a checkpoint.
        FarziError: the job can only fail.
        MemoryError: the job does not fit this machine.
    """
    if context.settings.torch_threads:
        torch.set_num_threads(context.settings.torch_threads)
    try:
        _distil(context)
    except torch.OutOfMemoryError as error:
        raise MemoryError(str(error)) from error


def _distil(context: RunContext) -> None:
    pipeline = _make_pipeline(context)
    keeper = CheckpointKeeper(context, pipeline.save_checkpoint)
    done = context.job.progress_step
    for progress in pipeline.run():
        if isinstance(progress, ResultReady):
            _publish(context, progress)
            return
        if isinstance(progress, StepFinished):
            done = progress.done
        _tell(context, progress)
        if context.stop.is_set():
            keeper.save(done)
            raise RunStoppedError
        keeper.save_if_due(done)


def _make_pipeline(context: RunContext) -> DistillationPipeline:
    assert context.dataset.canonical_key is not None, "a distillation of a data set that is not ready"
    assert context.dataset.sha256 is not None
    canonical = context.directory / "canonical.parquet"
    context.store.fetch_file(context.dataset.canonical_key, canonical)
    dataset = SequenceDataset.read_parquet(canonical)
    spec = DistillationSpec.model_validate(context.job.spec)
    scratch = context.subdirectory("artifacts")
    sha256 = context.dataset.sha256
    resumed = load_newest(context, lambda saved: DistillationPipeline.resume(saved, dataset, spec, scratch, sha256))
    return resumed or DistillationPipeline(dataset, spec, scratch, sha256)


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


def _publish(context: RunContext, result: ResultReady) -> None:
    artifacts = [_store(context, file) for file in result.files]
    manifest = {
        **result.manifest,
        "job_id": context.job.id,
        "dataset_id": context.dataset.id,
        "summary": result.summary,
        "files": {artifact.name: artifact.entry for artifact in artifacts},
    }
    artifacts.append(_store(context, write_manifest(manifest, context.directory / MANIFEST_NAME)))
    context.writer.flush()
    with context.session_factory.begin() as session:
        checkpoints = publish(session, context.lease, manifest, artifacts)
    for key in checkpoints:
        context.store.delete(key)


def _store(context: RunContext, file: ArtifactFile) -> StoredArtifact:
    return store_artifact(context.store, context.lease, file.name, file.path, file.media_type)
