"""``/v1/spec/schema`` and ``/v1/presets``: what a distillation can be told."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Query

from app.dependencies import AuthenticatedRoute, JobReader
from app.schemas import OutputModel, Page
from farzi_core.config import TASK_ARCHITECTURES, DistillationSpec, PresetName, Task
from farzi_core.presets import DEFAULT_PRESET, PRESET_NAMES, get_preset

router = APIRouter(prefix="/v1", tags=["Specs"], route_class=AuthenticatedRoute)

InTask = Annotated[Task, Query(description="Defaults and students differ between tasks.")]


class PresetOut(OutputModel):
    """A complete spec to start from."""

    name: PresetName
    task: Task
    spec: DistillationSpec


@router.get("/spec/schema")
def get_spec_schema(_caller: JobReader, task: InTask = "sequential_recommendation") -> dict[str, Any]:
    """Return the JSON Schema of the distillation spec, with the defaults of preset `standard` for the task."""
    schema = DistillationSpec.model_json_schema()
    defaults = get_preset(task, DEFAULT_PRESET).model_dump(mode="json")
    for name, field in schema["properties"].items():
        field["default"] = defaults[name]
        reference = field.get("$ref", "").removeprefix("#/$defs/")
        for inner_name, inner_field in schema["$defs"].get(reference, {}).get("properties", {}).items():
            inner_field["default"] = defaults[name][inner_name]
    architecture = schema["$defs"]["StudentConfig"]["properties"]["architecture"]
    architecture.pop("const", None)
    architecture["enum"] = list(TASK_ARCHITECTURES[task])
    return schema


@router.get("/presets")
def list_presets(
    _caller: JobReader, task: Annotated[Task | None, Query(description="Only presets for this task.")] = None
) -> Page[PresetOut]:
    """List the presets of every task, all in one page."""
    tasks: tuple[Task, ...] = get_args(Task) if task is None else (task,)
    presets = [PresetOut(name=name, task=each, spec=get_preset(each, name)) for each in tasks for name in PRESET_NAMES]
    return Page(data=presets, has_more=False, next_cursor=None)
