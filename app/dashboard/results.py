"""What the published report of a job says, made ready for a page: the figures of ``report.json``, in the order of reading."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import ServiceError
from app.jobs import repository, service
from app.jobs.models import Artifact
from app.services import Services
from app.tenants.service import Caller

REPORT = "report.json"
MAX_REPORT_BYTES = 32 << 20
LOWER_IS_BETTER = frozenset({"perplexity"})
TITLES = {
    "full_data": "full data",
    "distilled": "distilled, soft tokens",
    "hard": "hard sequences drawn from it",
    "random": "random sequences, as many",
    "random_equal_bytes": "random sequences, as many bytes",
    "head": "longest sequences, as many",
    "head_equal_bytes": "longest sequences, as many bytes",
}

Json = Any


@dataclass(frozen=True)
class Side:
    """One row of a student's table: what it was trained on, and what came of it; ratios are to full data."""

    name: str
    title: str
    metrics: Mapping[str, Json]
    ratios: Mapping[str, Json]
    size: Mapping[str, Json]
    train_s: float | None


@dataclass(frozen=True)
class StudentResult:
    """All sides of one architecture."""

    name: str
    sides: tuple[Side, ...]
    speed_up: float | None


@dataclass(frozen=True)
class Result:
    """A report as a page shows it.

    Attributes:
        metric: the one that validation chose by, and the headline is about.
        metrics: all of them, that one first.
        ratio: headline with its interval: ``mean``, ``low``, ``high``.
        cautions: what to know before believing a ratio: ``student`` and ``message``; reports of earlier versions have none.
        matrix: rows of the cross-architecture comparison by student; ``distilled_with`` made the summary.
    """

    task: str
    metric: str
    metrics: tuple[str, ...]
    ratio: Mapping[str, float] | None
    students: tuple[StudentResult, ...]
    matrix: Mapping[str, Json]
    distilled_with: str | None
    size: Mapping[str, Json]
    seconds: Mapping[str, float]
    break_even_trainings: float | None
    top_events: tuple[Json, ...]
    protocol: Mapping[str, Json]
    cautions: tuple[Mapping[str, str], ...]

    @property
    def lower_is_better(self) -> bool:
        return self.metric in LOWER_IS_BETTER


def load_report(job_id: str, caller: Caller, services: Services) -> dict[str, Json]:
    """Return the content of ``report.json``.

    Raises:
        ServiceError: there is no such job, or it has published no report.
    """
    with services.reading_sessions() as session:
        job = service.get_job(session, caller.tenant_id, job_id)
        artifact = repository.find_artifact(session, job.id, REPORT)
        status = job.status
    if artifact is None:
        raise ServiceError("artifact_not_found", f"The job, which is {status}, has no report yet; look at the job's own page.")
    return read_json(services, artifact)


def read_json(services: Services, artifact: Artifact) -> dict[str, Json]:
    """Return the content of a published JSON file."""
    if artifact.size_bytes > MAX_REPORT_BYTES:
        raise ServiceError("artifact_not_found", f"{artifact.name} is too large to be shown; download it.")
    content: dict[str, Json] = json.loads(b"".join(services.store.open_stream(artifact.object_key, 0, artifact.size_bytes)))
    return content


def arrange(report: Mapping[str, Json]) -> Result:
    """Return a report in the order in which it is shown."""
    matrix = report.get("cross_architecture", {})
    students = tuple(_arrange_student(report, name, student) for name, student in report["students"].items())
    first = report["students"][report.get("headline_student") or next(iter(report["students"]))]
    metrics = list(first["full_data"])
    metric = matrix.get("metric") or ("ndcg@10" if "ndcg@10" in metrics else metrics[0])
    return Result(
        task=report["task"],
        metric=metric,
        metrics=(metric, *(name for name in metrics if name != metric)),
        ratio=first["ratio"].get(metric),
        students=students,
        matrix=matrix.get("students", {}),
        distilled_with=matrix.get("distilled_with"),
        size=report["size"],
        seconds=report["seconds"],
        break_even_trainings=report.get("break_even_trainings"),
        top_events=tuple(report.get("sequences", {}).get("top_events", ())),
        protocol=report.get("protocol", {}),
        cautions=tuple(report.get("cautions", ())),
    )


def _arrange_student(report: Mapping[str, Json], name: str, student: Mapping[str, Json]) -> StudentResult:
    sizes = report.get("sides", {})
    sides = [side for side in student if _is_side(student, side) and "_noise_" not in side]
    sides.sort(key=lambda side: list(TITLES).index(side) if side in TITLES else len(TITLES))
    return StudentResult(
        name,
        tuple(
            Side(
                name=side,
                title=TITLES.get(side, side.replace("_", " ")),
                metrics=student[side],
                ratios=student.get("ratio" if side == "distilled" else f"ratio_{side}", {}),
                size=sizes.get(side, {}),
                train_s=student.get("train_seconds", {}).get(side),
            )
            for side in sides
        ),
        student.get("speedup_to_same_metric", {}).get("ratio"),
    )


def _is_side(student: Mapping[str, Json], name: str) -> bool:
    values = student[name]
    return isinstance(values, dict) and any(isinstance(value, dict) and "std" in value for value in values.values())
