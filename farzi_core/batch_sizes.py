"""Batch sizes of a spec: made smaller for a run that did not fit into memory, and left out of what a checkpoint is known by."""

from __future__ import annotations

from typing import Any

from farzi_core.config import DistillationSpec


def divide_batches(spec: DistillationSpec, divisor: int) -> DistillationSpec:
    """Return ``spec`` with every batch of real and of synthetic sequences divided by ``divisor``, at least 1 each."""
    if divisor == 1:
        return spec
    synthetic = spec.inner.batch_size or spec.synthetic.num_sequences

    def divide(size: int) -> int:
        return max(1, size // divisor)

    return spec.model_copy(
        update={
            "outer": spec.outer.model_copy(update={"batch_size": divide(spec.outer.batch_size)}),
            "teacher": spec.teacher.model_copy(update={"batch_size": divide(spec.teacher.batch_size)}),
            "inner": spec.inner.model_copy(update={"batch_size": divide(synthetic)}),
        }
    )


def describe_identity(spec: DistillationSpec) -> dict[str, Any]:
    """Return the spec as JSON values without its batch sizes: with other ones a checkpoint can still be gone on from."""
    values = spec.model_dump(mode="json")
    for part in ("outer", "teacher", "inner"):
        del values[part]["batch_size"]
    return values
