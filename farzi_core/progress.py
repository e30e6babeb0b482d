"""What a long computation says of itself: values, yielded one by one; never prints. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Phase = Literal["teacher", "distillation", "evaluation", "artifacts"]


@dataclass(frozen=True)
class PhaseStarted:
    """A phase of the pipeline begins."""

    phase: Phase


@dataclass(frozen=True)
class StepFinished:
    """One unit of work is done.

    Attributes:
        phase: phase the step belongs to.
        done: units of work done so far over all phases; a unit costs about as much as one outer step.
        total: units of work of the whole pipeline; may shrink when a phase stops early.
        step: step number inside the phase, from 1: the x axis of ``metrics``.
        metrics: finite values by series name (``outer_loss``, ``meta_gradient_norm``, ``teacher_loss``, ...).
    """

    phase: Phase
    done: int
    total: int
    step: int
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ValidationMeasured:
    """A fresh student was trained on the synthetic data and measured on validation data.

    Attributes:
        step: outer step; 0 is the start, before the first one.
        metrics: for example ``validation_ndcg@10`` or ``validation_perplexity``, and the same of ``full_data``, and of
            ``random`` sequences where they are a baseline.
        best: whether this is the best so far.
    """

    step: int
    metrics: dict[str, float]
    best: bool


@dataclass(frozen=True)
class OuterLoopEnded:
    """The outer loop is over.

    Attributes:
        steps: taken, of ``planned_steps``.
        best_step: whose data are the result; 0: those of the start.
        ended_by: why it is over.
        message: the same in plain words.
    """

    steps: int
    planned_steps: int
    best_step: int
    ended_by: Literal["all_steps", "patience"]
    message: str


@dataclass(frozen=True)
class ArtifactFile:
    """One file of the result, on local disk."""

    name: str
    path: Path
    media_type: str


@dataclass(frozen=True)
class ResultReady:
    """The pipeline is done.

    Attributes:
        files: every artifact but ``manifest.json``, which the caller writes last because it holds their SHA-256.
        manifest: spec, data hash, seeds, code and library versions (JSON values).
        summary: headline figures for the job's ``metrics`` field.
    """

    files: tuple[ArtifactFile, ...]
    manifest: dict[str, Any]
    summary: dict[str, float]


Progress = PhaseStarted | StepFinished | ValidationMeasured | OuterLoopEnded | ResultReady
