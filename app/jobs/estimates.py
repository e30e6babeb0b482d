"""What a job would take, before it is submitted: a model of its work, the speed of the machine, and how wrong that was so far.

The model counts steps and what they compute (``farzi_core.work_plan``). Its speeds are those that the worker measured; without
them, those of a reference machine. What jobs took in the end, over what the model had said of them, corrects it: their mean is
its bias on this machine, their spread the distance from p50 to p90.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.datasets.models import Dataset
from app.datasets.sizes import summarise_ready
from app.jobs.models import CalibrationRow, EstimateOutcome, Job
from app.jobs.states import JobKind
from farzi_core.config import DataSummary, DistillationSpec
from farzi_core.costs import REFERENCE, Calibration
from farzi_core.evaluation_spec import EvaluationSpec, apply_evaluation
from farzi_core.footprint import estimate_distillation_bytes, estimate_memory_bytes, estimate_report_bytes
from farzi_core.work_plan import StepTimes, WorkSize, plan_distillation, plan_evaluation

Source = Literal["measured", "reference"]

# What nine in ten jobs are within, of a model that no finished job has corrected yet; docs/estimates.md has the measurements.
MEASURED_ERROR = 1.0
REFERENCE_ERROR = 2.0
NUM_OUTCOMES = 50
# Of a normal distribution.
P90 = 1.2816


@dataclass(frozen=True)
class Prediction:
    """What the model says, uncorrected."""

    phases: dict[str, float]
    memory_bytes: int
    output_bytes: int

    @property
    def seconds(self) -> float:
        return sum(self.phases.values())


@dataclass(frozen=True)
class Correction:
    """What the model is multiplied by to be right in the middle, and in nine of ten cases."""

    p50: float
    p90: float


@dataclass(frozen=True)
class Machine:
    """The machine that jobs run on, as far as it is known.

    Attributes:
        name: as its worker calls it; None: no worker has measured one.
        measured_at: when it did.
    """

    calibration: Calibration
    source: Source
    name: str | None = None
    measured_at: datetime | None = None

    @property
    def error(self) -> float:
        """How far off the model is expected to be before any job has shown it."""
        return MEASURED_ERROR if self.source == "measured" else REFERENCE_ERROR


@dataclass(frozen=True)
class Estimate:
    """What a job would take."""

    seconds: Correction
    memory_bytes: int
    output_bytes: int
    prediction: Prediction
    machine: Machine
    num_outcomes: int


def estimate(session: Session, kind: JobKind, spec: DistillationSpec, data: DataSummary) -> Estimate:
    """Return what a job would take on the machine that was calibrated last; ``spec`` is what would be computed."""
    machine = find_machine(session)
    prediction = predict(kind, spec, data, machine.calibration)
    outcomes = _recent_outcomes(session, machine, kind)
    seconds = correct([row.actual_seconds / row.predicted_seconds for row in outcomes], machine.error)
    memory = correct([row.actual_memory_bytes / row.predicted_memory_bytes for row in outcomes], machine.error)
    output = _correct_output(outcomes, machine)
    return Estimate(
        Correction(prediction.seconds * seconds.p50, prediction.seconds * seconds.p90),
        round(prediction.memory_bytes * memory.p50),
        round(prediction.output_bytes * output.p50),
        prediction,
        machine,
        len(outcomes),
    )


def estimate_output_bytes(session: Session, kind: JobKind, spec: DistillationSpec, data: DataSummary) -> int:
    """Return the bytes of a job's result alone, the same as :func:`estimate` says, without planning its work."""
    machine = find_machine(session)
    outcomes = _recent_outcomes(session, machine, kind)
    return round(_output_bytes(kind, spec, data) * _correct_output(outcomes, machine).p50)


def predict(kind: JobKind, spec: DistillationSpec, data: DataSummary, calibration: Calibration) -> Prediction:
    """Return what the model says of a job."""
    times = StepTimes(spec, WorkSize.of(data, spec), calibration)
    is_distillation = kind == JobKind.DISTILLATION
    planned = plan_distillation(spec, times) if is_distillation else plan_evaluation(spec, times)
    phases = {"startup": times.startup, "teacher": 0.0, "distillation": 0.0, "evaluation": 0.0, "artifacts": 0.0}
    for name, seconds in planned.items():
        phases[name if name in phases else "evaluation"] += seconds
    return Prediction(phases, estimate_memory_bytes(spec, data), _output_bytes(kind, spec, data))


def correct(ratios: Sequence[float], error: float) -> Correction:
    """Return the correction that ratios of actual to predicted values ask for.

    Logarithms are taken as normal. One more value, at the prediction, stands for what was known before: it keeps a single
    job from deciding everything, and is ``error`` wide.
    """
    logarithms = [math.log(ratio) for ratio in ratios if ratio > 0]
    center = fmean([*logarithms, 0.0])
    variance = fmean([*((value - center) ** 2 for value in logarithms), (math.log1p(error) / P90) ** 2])
    return Correction(math.exp(center), math.exp(center + P90 * math.sqrt(variance)))


def find_machine(session: Session) -> Machine:
    """Return the machine whose worker measured it last, else the reference machine."""
    row = session.scalar(select(CalibrationRow).order_by(CalibrationRow.measured_at.desc()).limit(1))
    calibration = None if row is None else _read(row)
    if row is None or calibration is None:
        return Machine(REFERENCE, "reference")
    return Machine(calibration, "measured", row.machine, row.measured_at)


def is_calibrated(session: Session, host: str, *, since: datetime) -> bool:
    """Whether a worker on ``host`` has measured the machine after ``since``, for this release."""
    rows = session.scalars(select(CalibrationRow).where(CalibrationRow.host == host, CalibrationRow.measured_at >= since))
    return any(_read(row) is not None for row in rows)


def store_calibration(session: Session, machine: str, host: str, calibration: Calibration, *, at: datetime) -> None:
    """Keep what a worker measured; what corrected the speeds before says nothing of these."""
    session.execute(delete(EstimateOutcome).where(EstimateOutcome.machine == machine))
    session.merge(CalibrationRow(machine=machine, host=host, coefficients=calibration.to_json(), measured_at=at))


def record_outcome(
    session: Session, job: Job, machine: str, *, seconds: float, memory_bytes: int, output_bytes: int, at: datetime
) -> None:
    """Keep what a job that was done in one run took, next to what the model says of it."""
    found = find_machine(session)
    data = summarise_ready(session.get_one(Dataset, job.dataset_id))
    prediction = predict(JobKind(job.kind), effective_spec(session, job), data, found.calibration)
    session.add(
        EstimateOutcome(
            job_id=job.id,
            machine=found.name or machine,
            kind=job.kind,
            predicted_seconds=prediction.seconds,
            actual_seconds=seconds,
            predicted_memory_bytes=prediction.memory_bytes,
            actual_memory_bytes=memory_bytes,
            predicted_output_bytes=prediction.output_bytes,
            actual_output_bytes=output_bytes,
            at=at,
        )
    )


def effective_spec(session: Session, job: Job) -> DistillationSpec:
    """Return the spec that a job's run computes by."""
    if job.source_job_id is None:
        return DistillationSpec.model_validate(job.spec)
    source = DistillationSpec.model_validate(session.get_one(Job, job.source_job_id).spec)
    return apply_evaluation(EvaluationSpec.model_validate(job.spec), source)


def _output_bytes(kind: JobKind, spec: DistillationSpec, data: DataSummary) -> int:
    return estimate_distillation_bytes(spec, data) if kind == JobKind.DISTILLATION else estimate_report_bytes(spec)


def _correct_output(outcomes: Sequence[EstimateOutcome], machine: Machine) -> Correction:
    return correct([row.actual_output_bytes / row.predicted_output_bytes for row in outcomes], machine.error)


def _recent_outcomes(session: Session, machine: Machine, kind: JobKind) -> Sequence[EstimateOutcome]:
    rows = select(EstimateOutcome).where(EstimateOutcome.kind == kind)
    if machine.name is not None:
        rows = rows.where(EstimateOutcome.machine == machine.name)
    return session.scalars(rows.order_by(EstimateOutcome.at.desc()).limit(NUM_OUTCOMES)).all()


def _read(row: CalibrationRow) -> Calibration | None:
    """Return None for what another release wrote: a worker of this one measures again."""
    try:
        return Calibration.from_json(row.coefficients)
    except ValueError:
        return None
