"""A run of kind ``distillation``: from the canonical data set to the published artifacts."""

from __future__ import annotations

from pathlib import Path

from farzi_core.batch_sizes import divide_batches
from farzi_core.config import DistillationSpec
from farzi_core.pipeline import DistillationPipeline
from worker.context import RunContext
from worker.pipelines import load_dataset, run_pipeline


def run_distillation(context: RunContext) -> None:
    """Run the job to its end; raises what :func:`run_pipeline` raises."""
    dataset, sha256 = load_dataset(context), context.dataset.sha256
    assert sha256 is not None
    spec = divide_batches(DistillationSpec.model_validate(context.job.spec), context.job.batch_divisor)

    def make(artifacts: Path) -> DistillationPipeline:
        return DistillationPipeline(dataset, spec, artifacts, sha256)

    run_pipeline(context, make, {"dataset_id": context.dataset.id})
