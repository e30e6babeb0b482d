"""Where a spec asks for more than a data set has, found before a job is there to ask. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from farzi_core.config import OF_LONGEST, TASK_ARCHITECTURES, DataSummary, DistillationSpec
from farzi_core.synthetic_config import SyntheticConfig


@dataclass(frozen=True)
class SpecProblem:
    """One reason why a spec does not fit a data set."""

    pointer: str
    detail: str


def find_data_problems(spec: DistillationSpec, data: DataSummary, *, distilled: bool = False) -> list[SpecProblem]:
    """Return every way in which ``spec`` asks for more than ``data`` has; empty when the job can start.

    Args:
        spec: the complete spec.
        data: sizes of the data set.
        distilled: whether the synthetic data are there already; their size is no longer a question then.
    """
    problems = [] if distilled else _find_size_problems(spec.synthetic, data)
    if data.task == "language_modeling":
        problems += [
            SpecProblem(
                "/evaluation/baselines",
                f"baseline {name!r} takes the longest sequences, but a text is one stream and has none; leave it out",
            )
            for name in spec.evaluation.baselines
            if name in OF_LONGEST
        ]
    architectures = {spec.student.architecture, *(spec.evaluation.students or ())}
    allowed = TASK_ARCHITECTURES[data.task]
    for architecture in sorted(architectures.difference(allowed)):
        pointer = "/student/architecture" if architecture == spec.student.architecture else "/evaluation/students"
        problems.append(
            SpecProblem(pointer, f"{architecture!r} does not fit task {data.task!r}; allowed: {', '.join(allowed)}")
        )
    head_width = spec.student.hidden_size // spec.student.num_heads
    if "transformer_lm" in architectures and head_width % 2:
        problems.append(
            SpecProblem(
                "/student/num_heads",
                f"'transformer_lm' needs heads of even width, but hidden_size={spec.student.hidden_size} over "
                f"num_heads={spec.student.num_heads} gives {head_width}; change one of them",
            )
        )
    return problems


def _find_size_problems(synthetic: SyntheticConfig, data: DataSummary) -> list[SpecProblem]:
    longest, length = data.max_synthetic_length, synthetic.length
    if data.task == "sequential_recommendation":
        most_sequences, where, what = data.num_sequences, "the data set has only", "the longest sequence has"
    else:
        # Text is one stream cut into blocks: what bounds a summary is the number of events.
        most_sequences = max(1, longest // length)
        where, what = f"the training lines have only {longest} events, enough for", "the training lines have"
    problems: list[SpecProblem] = []
    if synthetic.num_sequences > most_sequences:
        asked = f"{synthetic.num_sequences} synthetic sequences were asked for"
        detail = f"{asked}, but {where} {most_sequences}; choose at most {most_sequences}"
        problems.append(SpecProblem("/synthetic/num_sequences", detail))
    if length > longest:
        asked = f"synthetic sequences of {length} events were asked for"
        rest = "to learn from, without those of validation and test"
        detail = f"{asked}, but {what} {longest} {rest}; choose at most {longest}"
        problems.append(SpecProblem("/synthetic/sequence_length", detail))
    if synthetic.tucker_ranks is not None and synthetic.tucker_ranks[1] > length:
        # Only where the data decided the length: one that was given has been compared already.
        detail = f"a rank of {synthetic.tucker_ranks[1]} over positions was asked for, but these data want {length} of them"
        problems.append(SpecProblem("/synthetic/tucker_ranks", f"{detail}; lower it, or give synthetic.sequence_length"))
    return problems
