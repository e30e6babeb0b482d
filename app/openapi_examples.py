"""An example of every request and answer of the OpenAPI document, made from its schema and from what its fields look like.

Tests check that each example is one that its schema accepts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
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
_ID_PREFIX_OF_MODEL = {
    "DatasetOut": "ds",
    "JobOut": "job",
    "ComparedJobOut": "job",
    "RunOut": "run",
    "ApiKeyOut": "key",
    "NewApiKeyOut": "key",
    "AuditEventOut": "audit",
    "WebhookEndpointOut": "whe",
    "NewWebhookEndpointOut": "whe",
    "DeliveryOut": "whd",
    "DeliveryDetailOut": "whd",
    "UploadOut": "upl",
    "UploadWithPartsOut": "upl",
}
_OF_FIELD: dict[str, Any] = {
    "columns": {"user": "user_id", "item": "movie_id", "timestamp": "timestamp"},
    "cursor": "eyJwb3NpdGlvbiI6ImpvYl8wMTk0In0",
    "deadline_s": 3600.0,
    "delimiter": ",",
    "description": "Builds that wait for results",
    "detail": "limit: Input should be less than or equal to 200; got 500",
    "error": None,
    "error_code": None,
    "eta_s": 41.5,
    "expires_at": None,
    "fraction": 0.25,
    "has_more": False,
    "key": "fz_" + "x" * 38,
    "metadata": {"team": "search"},
    "metrics": {"outer_loss": 3.91},
    "name": "movielens-100k",
    "next_cursor": None,
    "options": {"header": True},
    "phase": "distillation",
    "phases": {"teachers": 60.0, "outer_loop": 120.0, "evaluation": 30.0},
    "prefix": "fz_7Qm2x",
    "request_id": "req_0f8fad5bd9cb469fa16570867728950e",
    "revoked_at": None,
    "secret": "whsec_" + "x" * 43 + "=",
    "sha256": SHA256,
    "spec": {"preset": "quick"},
    "step": 250,
    "total": 1000,
    "type": "job.succeeded",
    "url": "https://example.com/farzi-events",
}
_OF_MODELS_FIELD: dict[tuple[str, str], Any] = {
    ("ComparisonOut", "metrics"): {"ratio_ndcg@10": [0.84]},
    ("ComparisonOut", "spec"): {"synthetic.num_sequences": [50]},
}
_OF_SCHEMA: dict[str, Any] = {
    "EventOut": {
        "seq": 7,
        "type": "validation.measured",
        "data": {"step": 250},
        "at": "2026-01-31T12:00:00.000000Z",
    },
}
# Answers whose schema leaves open what is in them, and those that are not JSON.
OF_OPERATION: dict[str, Any] = {
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
_ID_DIGITS = "01943e6f8c8a7d3ea1b6c2d4e5f60718"


def example_id(prefix: str) -> str:
    """Return an id of the form that the service makes."""
    return f"{prefix}_{_ID_DIGITS}"


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
    if (model, name) in _OF_MODELS_FIELD:
        yield _OF_MODELS_FIELD[model, name]
    if name == "id" and model in _ID_PREFIX_OF_MODEL:
        yield example_id(_ID_PREFIX_OF_MODEL[model])
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
            fields[_key_of(name)] = example_of(further, schemas, "", model, depth + 1)
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
    return _text(schema, name)


def _key_of(name: str) -> str:
    return {"jobs_by_status": "running", "run_seconds_by_day": "2026-01-31", "run_seconds_by_month": "2026-01"}.get(
        name, "outer_loss"
    )


def _text(schema: Schema, name: str) -> str:
    if schema.get("format") == "date-time" or name == "at" or name.endswith("_at"):
        return "2026-01-31T12:00:00.000000Z"
    if "sha256" in name:
        return SHA256
    return "a text"
