"""What a spec leaves to the data: fields that are null until the size of a data set is known. Imports no torch."""

from __future__ import annotations

from farzi_core.config import DataSummary, DistillationSpec

# One soft token is a target and an input at once, which costs most where predictions are flat and histories long:
# .647 to about .94 of full data on ML-100K (1,682 events, 106 a sequence). With 2,000 short histories the outer loop mends
# it, and hard sequences drawn from the result are better. See docs/log.md, 2026-11-25 and 2026-11-26.
LARGE_VOCABULARY = 1000
LONG_HISTORY = 50
NUM_TEACHERS = 3


def fill_in(spec: DistillationSpec, data: DataSummary) -> DistillationSpec:
    """Return ``spec`` with a value in place of every null that the size of ``data`` decides; others stay."""
    inputs = spec.synthetic.inputs or ("sampled_events" if _wants_sampled_events(spec, data) else "soft_tokens")
    teachers = spec.teacher.num_trajectories or (NUM_TEACHERS if inputs == "sampled_events" else 1)
    return spec.model_copy(
        update={
            "synthetic": spec.synthetic.model_copy(update={"inputs": inputs}),
            "teacher": spec.teacher.model_copy(update={"num_trajectories": teachers}),
        }
    )


def _wants_sampled_events(spec: DistillationSpec, data: DataSummary) -> bool:
    if spec.synthetic.init != "teacher" or data.task != "sequential_recommendation":
        return False
    return data.vocab_size >= LARGE_VOCABULARY and data.num_events >= LONG_HISTORY * data.num_sequences
