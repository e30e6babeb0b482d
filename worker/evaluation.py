"""A run of kind ``evaluation``: from the published result of a distillation to a report on it."""

from __future__ import annotations

from pathlib import Path

from app.db import OUTAGE_PATIENCE_S, attempts_while_away
from app.jobs.estimates import effective_spec
from app.jobs.repository import find_artifact, find_manifest
from app.storage import DamagedObjectError, ObjectMissingError
from farzi_core.artifacts import SYNTHETIC_NAME
from farzi_core.batch_sizes import divide_batches
from farzi_core.config import DistillationSpec
from farzi_core.errors import ArtifactError
from farzi_core.evaluation_pipeline import EvaluationPipeline, JudgedResult
from worker.context import RunContext
from worker.pipelines import load_dataset, run_pipeline


def run_evaluation(context: RunContext) -> None:
    """Run the job to its end; raises what :func:`run_pipeline` raises, and ArtifactError where the result is gone."""
    spec, result = _find_judged(context)
    dataset, sha256 = load_dataset(context), context.dataset.sha256
    assert sha256 is not None

    def make(artifacts: Path) -> EvaluationPipeline:
        return EvaluationPipeline(dataset, spec, result, artifacts, sha256)

    sources = {
        "dataset_id": context.dataset.id,
        "source_job_id": context.job.source_job_id,
        "evaluation": context.job.spec,
    }
    run_pipeline(context, make, sources)


def _find_judged(context: RunContext) -> tuple[DistillationSpec, JudgedResult]:
    source_id = context.job.source_job_id
    assert source_id is not None, "an evaluation of nothing"
    for attempt in attempts_while_away(OUTAGE_PATIENCE_S):
        with attempt, context.session_factory() as session:
            artifact = find_artifact(session, source_id, SYNTHETIC_NAME)
            manifest = find_manifest(session, source_id)
            spec = effective_spec(session, context.job) if manifest is not None else None
    if artifact is None or manifest is None or spec is None:
        raise ArtifactError(f"The result of {source_id} is not there any more; distil the data again.")
    path = context.directory / SYNTHETIC_NAME
    try:
        context.store.fetch_file(artifact.object_key, path)
    except (ObjectMissingError, DamagedObjectError) as error:
        raise ArtifactError(f"The result of {source_id} cannot be read ({error}); distil the data again.") from error
    distil_s = float(manifest.content.get("summary", {}).get("distil_seconds", 0.0))
    return divide_batches(spec, context.job.batch_divisor), JudgedResult(path, distil_s)
