"""An example of every request and answer of the OpenAPI document: a sample, or made from its schema and its parts' samples.

Tests check that each example is one that its schema accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app import openapi_account_samples, openapi_data_samples, openapi_job_samples
from app.openapi_data_samples import LABELS, example_id
from app.openapi_job_samples import SPEC

Schema = dict[str, Any]

ID_PREFIXES = {
    "dataset_id": "ds",
    "job_id": "job",
    "source_job_id": "job",
    "key_id": "key",
    "actor_key_id": "key",
    "endpoint_id": "whe",
    "delivery_id": "whd",
    "event_id": "evt",
    "upload_id": "upl",
}
_OF_FIELD: dict[str, Any] = {
    "has_more": False,
    "metadata": LABELS,
    "name": "quick",
    "next_cursor": None,
    "spec": SPEC,
    "step": 250,
}
_OF_SCHEMA = openapi_data_samples.OF_SCHEMA | openapi_job_samples.OF_SCHEMA | openapi_account_samples.OF_SCHEMA
# Answers whose schema leaves open what is in them, those that are not JSON, and those of another moment than the schema's.
OF_OPERATION: dict[str, Any] = {
    **openapi_data_samples.OF_OPERATION,
    **openapi_job_samples.OF_OPERATION,
    **openapi_account_samples.OF_OPERATION,
    "download_artifact": "(the file's bytes)",
    "get_spec_schema": {
        "title": "DistillationSpec",
        "type": "object",
        "properties": {"seed": {"type": "integer", "default": 0}},
    },
    "healthz": {"status": "ok"},
    "metrics": 'farzi_jobs{kind="distillation",status="running"} 1.0\n',
    "readyz": {"status": "ready", "checks": {"database": "ok", "migrations": "ok", "storage": "ok"}},
    "stream_events": 'id: 1\nevent: job.queued\ndata: {"seq":1,"type":"job.queued","data":{},"at":"2026-01-31T12:00:00Z"}\n\n',
}
_DEPTH = 12


def example_of(schema: Schema, schemas: dict[str, Schema], name: str = "", model: str = "", depth: int = 0) -> Any:
    """Return a value that ``schema`` accepts.

    Args:
        schema: of the value.
        schemas: those that references name.
        name: of the field that the value is for.
        model: name of the schema that has the field.
        depth: how many schemas this one is inside of.
    """
    assert depth < _DEPTH, f"the schema of {name!r} contains itself"
    if "$ref" in schema:
        model = schema["$ref"].rpartition("/")[2]
        return _OF_SCHEMA[model] if model in _OF_SCHEMA else example_of(schemas[model], schemas, name, model, depth + 1)
    for known in _known_values(schema, name, model):
        return known
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return example_of(_first_that_says(schema[several]), schemas, name, model, depth + 1)
    return _of_type(schema, schemas, name, model, depth)


def _known_values(schema: Schema, name: str, model: str) -> Iterator[Any]:
    """Yield the values that need no look into the schema's parts, the best one first."""
    yield from schema.get("examples", ())
    if "const" in schema:
        yield schema["const"]
    if (model, name) == ("EndpointSnapshot", "id"):
        yield example_id("whe")
    if name in ID_PREFIXES:
        yield example_id(ID_PREFIXES[name])
    if name in _OF_FIELD and "enum" not in schema and _may_be(schema, _OF_FIELD[name]):
        yield _OF_FIELD[name]
    if schema.get("default") is not None:
        yield schema["default"]
    yield from schema.get("enum", ())


def _may_be(schema: Schema, value: Any) -> bool:
    """Whether the schema's types, as far as they are written here, admit the value."""
    types = {bool: "boolean", str: "string", int: "integer", float: "number", dict: "object", list: "array", type(None): "null"}
    options = schema.get("anyOf", [schema])
    admitted = {option.get("type", "object" if "$ref" in option else None) for option in options}
    wanted = types[type(value)]
    return wanted in admitted or (wanted == "integer" and "number" in admitted)


def _first_that_says(options: list[Schema]) -> Schema:
    return next((option for option in options if option.get("type") != "null"), options[0])


def _of_type(schema: Schema, schemas: dict[str, Schema], name: str, model: str, depth: int) -> Any:
    kind = schema.get("type")
    if kind == "object":
        fields = {
            field: example_of(inner, schemas, field, model, depth + 1) for field, inner in schema.get("properties", {}).items()
        }
        further = schema.get("additionalProperties")
        if not fields and isinstance(further, dict) and further:
            fields["outer_loss"] = example_of(further, schemas, "", model, depth + 1)
        return fields
    if kind == "array":
        return [example_of(schema["items"], schemas, name.removesuffix("s"), model, depth + 1)] if "items" in schema else []
    if kind in {"integer", "number"}:
        low: float = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        return max(1 if kind == "integer" else 1.5, low)
    if kind == "boolean":
        return False
    if kind == "null":
        return None
    return _text(schema, name, model)


def _text(schema: Schema, name: str, model: str) -> str:
    assert schema.get("format") == "date-time", f"{model}.{name} is a text without an example; give {model} a sample"
    return "2026-01-31T12:00:00.000000Z"
