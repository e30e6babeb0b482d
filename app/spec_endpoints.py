"""``/v1/spec/schema`` and ``/v1/presets``: what a job can be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.dependencies import AuthenticatedRoute, JobReader
from app.pagination import PageQuery, make_page, page_of
from app.schemas import OutputModel, Page
from farzi_core.config import TASK_ARCHITECTURES, DistillationSpec, PresetName, Task
from farzi_core.evaluation_spec import EvaluationSpec, default_evaluation
from farzi_core.presets import DEFAULT_PRESET, PRESET_NAMES, get_preset

router = APIRouter(prefix="/v1", tags=["Specs"], route_class=AuthenticatedRoute)

InTask = Annotated[Task, Query(description="Defaults and students differ between tasks.")]


class PresetOut(OutputModel):
    """A complete spec to start from."""

    name: PresetName
    task: Task
    spec: DistillationSpec


class PresetQuery(PageQuery):
    """Filter of the list of presets."""

    task: Task | None = Field(None, description="Only presets for this task.")


@router.get("/spec/schema")
def get_spec_schema(
    _caller: JobReader,
    task: InTask = "sequential_recommendation",
    kind: Annotated[Literal["distillation", "evaluation"], Query(description="Which job's spec.")] = "distillation",
) -> dict[str, Any]:
    """Return the JSON Schema of a job's spec.

    Defaults of a distillation are those of preset `standard` for the task. What an evaluation leaves out is as in the
    distillation that it judges; the defaults shown are those of one by `standard`.
    """
    spec: BaseModel
    if kind == "evaluation":
        spec = default_evaluation(task)
        schema = EvaluationSpec.model_json_schema()
        _limit(schema["properties"]["students"]["anyOf"][0]["items"], task)
    else:
        spec = get_preset(task, DEFAULT_PRESET)
        schema = DistillationSpec.model_json_schema()
        _limit(schema["$defs"]["StudentConfig"]["properties"]["architecture"], task)
    return _with_defaults(schema, spec.model_dump(mode="json"))


@router.get("/presets")
def list_presets(query: Annotated[PresetQuery, Query()], _caller: JobReader) -> Page[PresetOut]:
    """List the presets of every task."""
    tasks: tuple[Task, ...] = get_args(Task) if query.task is None else (query.task,)
    names = [(task, name) for task in tasks for name in PRESET_NAMES]
    rows, has_more = page_of(names, "/".join, query)
    return make_page(rows, has_more, _present_preset, "/".join)


def _present_preset(names: tuple[Task, PresetName]) -> PresetOut:
    task, name = names
    return PresetOut(name=name, task=task, spec=get_preset(task, name))


def _with_defaults(schema: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema whose fields, and those of its parts, have the defaults that are given."""
    for name, field in schema["properties"].items():
        field["default"] = defaults[name]
        reference = field.get("$ref", "").removeprefix("#/$defs/")
        for inner_name, inner_field in schema["$defs"].get(reference, {}).get("properties", {}).items():
            inner_field["default"] = defaults[name][inner_name]
    return schema


def _limit(architecture: dict[str, Any], task: Task) -> None:
    architecture.pop("const", None)
    architecture["enum"] = list(TASK_ARCHITECTURES[task])
