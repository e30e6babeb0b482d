"""Batch sizes of a spec: chosen where it leaves one open, and made smaller for a run that did not fit into memory.

They are no part of what a checkpoint is known by. Imports no torch.
"""

from __future__ import annotations

from typing import Any

from farzi_core.config import DistillationSpec

# Behind sampled events students take many steps, and one on ten sequences does for one on all. On ML-100K, 50 x 50, NDCG@10 is
# .1 on validation after 1.7 to 2.6 s instead of 5.7 to 6.0, and no less in the end. On a text, 400 x 50, perplexity is 55.2
# after 75 s on ten at a step, 54.9 after 458 s on eighty. See docs/log.md, 2026-11-26 and -27.
_BATCH_BEHIND_EVENTS = 10


def synthetic_batch_size(spec: DistillationSpec) -> int:
    """Return how many synthetic sequences a step sees, in inner loops and in students of soft tokens.

    Args:
        spec: its choice of ``synthetic.inputs`` made; an open one counts as soft tokens.
    """
    num_sequences = spec.synthetic.num_sequences
    if spec.inner.batch_size is not None:
        return spec.inner.batch_size
    return min(num_sequences, _BATCH_BEHIND_EVENTS) if spec.synthetic.inputs == "sampled_events" else num_sequences


def divide_batches(spec: DistillationSpec, divisor: int) -> DistillationSpec:
    """Return ``spec`` with every batch of real and of synthetic sequences divided by ``divisor``, at least 1 each."""
    if divisor == 1:
        return spec
    synthetic = synthetic_batch_size(spec)

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
