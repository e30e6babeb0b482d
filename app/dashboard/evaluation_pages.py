"""A result judged once more: the form of an evaluation's spec, started from how the result was judged, with an estimate."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from app.dashboard.page_route import InForm, PageRoute, begin_post, redirect
from app.dashboard.pages import show_form
from app.dashboard.schema_form import make_sections
from app.dashboard.spec_builder import SpecBuilder, arrange, ask_estimate
from app.datasets import endpoints as dataset_endpoints
from app.dependencies import InServices, JobReader, JobWriter
from app.errors import ServiceError
from app.jobs import endpoints
from app.jobs.schemas import JobCreate, JobOut
from app.services import Services
from app.spec_endpoints import get_spec_schema
from app.tenants.service import Caller
from farzi_core.config import DistillationSpec
from farzi_core.evaluation_spec import default_evaluation

FIRST_FIELDS = ("students", "num_seeds", "baselines", "seed")

router = APIRouter(prefix="/dashboard/jobs", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class EvaluationBuilder(SpecBuilder):
    """The form of an evaluation of ``source``."""

    source: JobOut

    def body(self) -> JobCreate:
        """Return what the API is asked for."""
        return self.complete({"kind": "evaluation", "job_id": self.source.id, "spec": self.changed})


@router.get("/{job_id}/evaluate")
def show_builder(job_id: str, request: Request, caller: JobWriter, services: InServices) -> Response:
    """Ask how the result is to be judged."""
    return _show(request, _make_builder(job_id, {}, caller, services))


@router.post("/{job_id}/evaluate/estimate")
def estimate(job_id: str, request: Request, form: InForm, caller: JobReader, services: InServices) -> Response:
    """Say what the evaluation would take; the script of the page shows that part of the answer alone."""
    builder = _make_builder(job_id, dict(form.values), caller, services)
    try:
        found = ask_estimate(builder.body(), request, form, services)
    except ServiceError as error:
        return _show(request, builder, error=error)
    return _show(request, builder, estimate=found)


@router.post("/{job_id}/evaluate")
def submit(job_id: str, request: Request, form: InForm, caller: JobWriter, services: InServices) -> Response:
    """Submit the evaluation and show it."""
    builder = _make_builder(job_id, dict(form.values), caller, services)
    try:
        created = endpoints.create_job(builder.body(), begin_post(request, form), services)
    except ServiceError as error:
        return _show(request, builder, error=error)
    return redirect(f"/dashboard/jobs/{json.loads(bytes(created.body))['id']}")


def _make_builder(job_id: str, filled_in: dict[str, str], caller: Caller, services: Services) -> EvaluationBuilder:
    source = endpoints.get_job(job_id, caller, services)
    if source.kind != "distillation":
        raise ServiceError("invalid_request", f"The job is of kind {source.kind}; judge the distillation that it judges.")
    task = dataset_endpoints.get_dataset(source.dataset_id, caller, services).task
    began_with = default_evaluation(task, DistillationSpec.model_validate(source.spec))
    schema = get_spec_schema(caller, task, "evaluation")
    sections = make_sections(schema, began_with.model_dump(mode="json"))
    return EvaluationBuilder(**arrange(sections, FIRST_FIELDS, own="protocol"), filled_in=filled_in, source=source)


def _show(
    request: Request,
    builder: EvaluationBuilder,
    *,
    estimate: dict[str, Any] | None = None,
    error: ServiceError | None = None,
) -> Response:
    return show_form(
        request,
        "job_evaluate.html.j2",
        error,
        builder=builder,
        estimate=estimate,
        problem_of=builder.problems_by_field(error),
    )
