"""The spec builder: a form made from the JSON Schema of the spec, started from a preset, with an estimate before it is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.dashboard.forms import Form
from app.dashboard.page_route import InForm, PageRoute, begin_post, redirect
from app.dashboard.pages import show, show_form
from app.dashboard.schema_form import make_sections
from app.dashboard.spec_builder import SpecBuilder, arrange, ask_estimate
from app.datasets import endpoints as dataset_endpoints
from app.datasets.models import DatasetStatus
from app.datasets.schemas import DatasetOut
from app.dependencies import InServices, JobReader, JobWriter
from app.errors import ServiceError
from app.jobs import endpoints
from app.jobs.schemas import JobCreate
from app.pagination import MAX_LIMIT, PageQuery
from app.services import Services
from app.spec_endpoints import get_spec_schema
from app.tenants.service import Caller
from farzi_core.config import PresetName
from farzi_core.presets import PRESET_NAMES, get_preset

TEMPLATE = "job_new.html.j2"
START_PRESET: PresetName = "quick"
FIRST_FIELDS = (
    "student.architecture",
    "student.hidden_size",
    "synthetic.num_sequences",
    "synthetic.sequence_length",
    "outer.num_steps",
    "evaluation.num_seeds",
    "seed",
)

router = APIRouter(prefix="/dashboard/jobs", route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class DistillationBuilder(SpecBuilder):
    """The form of a distillation of ``dataset``, started from a preset."""

    dataset: DatasetOut
    preset: PresetName

    def body(self) -> JobCreate:
        """Return what the API is asked for."""
        spec = {"preset": self.preset, **self.changed}
        return self.complete({"kind": "distillation", "dataset_id": self.dataset.id, "spec": spec})


@router.get("/new")
def show_builder(
    request: Request,
    caller: JobWriter,
    services: InServices,
    dataset_id: Annotated[str, Query(max_length=64)] = "",
    preset: PresetName = START_PRESET,
) -> Response:
    """Ask for a data set first, then for everything else, started from a preset."""
    if not dataset_id:
        return show(request, "job_new_dataset.html.j2", datasets=_ready_datasets(caller, services))
    return _show(request, _make_builder(dataset_id, preset, {}, caller, services))


@router.post("/estimate")
def estimate(request: Request, form: InForm, caller: JobReader, services: InServices) -> Response:
    """Say what the job would take; the script of the page shows that part of the answer alone."""
    builder = _builder_of(form, caller, services)
    try:
        found = ask_estimate(builder.body(), request, form, services)
    except ServiceError as error:
        return _show(request, builder, error=error)
    return _show(request, builder, estimate=found)


@router.post("")
def submit(request: Request, form: InForm, caller: JobWriter, services: InServices) -> Response:
    """Submit the job and show it."""
    builder = _builder_of(form, caller, services)
    try:
        created = endpoints.create_job(builder.body(), begin_post(request, form), services)
    except ServiceError as error:
        return _show(request, builder, error=error)
    return redirect(f"/dashboard/jobs/{json.loads(bytes(created.body))['id']}")


def _builder_of(form: Form, caller: Caller, services: Services) -> DistillationBuilder:
    preset = form.get("preset")
    if preset not in PRESET_NAMES:
        raise ServiceError("invalid_request", f"There is no preset {preset[:40]!r}; choose one of {', '.join(PRESET_NAMES)}.")
    return _make_builder(form.get("dataset_id"), preset, dict(form.values), caller, services)


def _make_builder(
    dataset_id: str, preset: PresetName, filled_in: dict[str, str], caller: Caller, services: Services
) -> DistillationBuilder:
    dataset = dataset_endpoints.get_dataset(dataset_id, caller, services)
    schema = get_spec_schema(caller, dataset.task)
    sections = make_sections(schema, get_preset(dataset.task, preset).model_dump(mode="json"))
    arranged = arrange(sections, FIRST_FIELDS, without=("preset",), own="precision")
    return DistillationBuilder(**arranged, filled_in=filled_in, dataset=dataset, preset=preset)


def _show(
    request: Request, builder: DistillationBuilder, *, estimate: dict[str, Any] | None = None, error: ServiceError | None = None
) -> Response:
    return show_form(
        request,
        TEMPLATE,
        error,
        builder=builder,
        presets=PRESET_NAMES,
        estimate=estimate,
        problem_of=builder.problems_by_field(error),
    )


def _ready_datasets(caller: Caller, services: Services) -> list[DatasetOut]:
    page = dataset_endpoints.list_datasets(PageQuery(limit=MAX_LIMIT), caller, services)
    return [dataset for dataset in page.data if dataset.status == DatasetStatus.READY]
