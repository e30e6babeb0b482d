"""The spec of an evaluation job: how an existing result is judged once more, with other students, seeds or baselines.

What is left out is as it was in the distillation that is judged, but for the students: every architecture of the task, so
that an evaluation with an empty spec says how well the result carries over. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from farzi_core.config import (
    TASK_ARCHITECTURES,
    BaselineConfig,
    DataSummary,
    DistillationSpec,
    EvaluationConfig,
    StudentSizes,
    Task,
    TeacherConfig,
)
from farzi_core.presets import DEFAULT_PRESET, get_preset, merge
from farzi_core.spec_problems import SpecProblem, find_data_problems

_PARTS = ("teacher", "baseline", "seed")


class EvaluationSpec(EvaluationConfig):
    """Everything an evaluation is determined by, besides the result that is judged and its data."""

    student: StudentSizes = Field(StudentSizes(), description="Sizes of every student; not their architecture.")
    teacher: TeacherConfig = Field(TeacherConfig(), description="How students train on real data.")
    baseline: BaselineConfig = Field(BaselineConfig(), description="How learned baselines are made.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of every random choice of the evaluation.")


def default_evaluation(task: Task, source: DistillationSpec | None = None) -> EvaluationSpec:
    """Return the spec of an evaluation that asks for nothing.

    Args:
        task: of the data.
        source: the distillation that is judged; None takes that of preset ``standard``.
    """
    source = source or get_preset(task, DEFAULT_PRESET)
    values = source.model_dump()
    sizes = {name: values["student"][name] for name in StudentSizes.model_fields}
    students = {"students": TASK_ARCHITECTURES[task], "student": sizes}
    return EvaluationSpec.model_validate({**values["evaluation"], **students, **{name: values[name] for name in _PARTS}})


def resolve_evaluation(task: Task, source: DistillationSpec, overrides: Mapping[str, Any]) -> EvaluationSpec:
    """Return the complete spec: that of the distillation with ``overrides`` on top.

    Raises:
        pydantic.ValidationError: a field is unknown or its value is not allowed; its locations are paths into the spec.
    """
    return EvaluationSpec.model_validate(merge(default_evaluation(task, source).model_dump(), overrides))


def apply_evaluation(spec: EvaluationSpec, source: DistillationSpec) -> DistillationSpec:
    """Return the distillation that was judged, as if it had asked to be judged like this."""
    evaluation = {name: getattr(spec, name) for name in EvaluationConfig.model_fields}
    student = source.student.model_copy(update={name: getattr(spec.student, name) for name in StudentSizes.model_fields})
    parts = {name: getattr(spec, name) for name in _PARTS}
    return source.model_copy(update={"evaluation": EvaluationConfig(**evaluation), "student": student, **parts})


def find_evaluation_problems(spec: EvaluationSpec, source: DistillationSpec, data: DataSummary) -> list[SpecProblem]:
    """Return every way in which ``spec`` does not fit the result or the data; empty when the job can start."""
    problems = [
        SpecProblem(problem.pointer.removeprefix("/evaluation"), problem.detail)
        for problem in find_data_problems(apply_evaluation(spec, source), data, distilled=True)
    ]
    length = source.synthetic.length
    if spec.student.max_length < length:
        detail = f"the result has sequences of {length} events, so max_length={spec.student.max_length} is too short"
        problems.append(SpecProblem("/student/max_length", f"{detail}; give at least {length}"))
    return problems
