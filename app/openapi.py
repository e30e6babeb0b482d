"""The OpenAPI description; ``python -m app.openapi`` writes ``docs/openapi.json`` and, from the codes, ``docs/errors.md``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from app.errors import ERRORS
from app.openapi_data_samples import example_id
from app.openapi_errors import codes_of, failures, problem_examples
from app.openapi_examples import ID_PREFIXES, OF_OPERATION, example_of
from app.openapi_headers import header_components, header_parameters, success_headers
from app.openapi_job_samples import ARTIFACT, OTHER_JOB_ID
from app.openapi_links import links_of
from app.openapi_webhooks import describe_webhooks
from app.schemas import BadField, Problem

DOCS = Path(__file__).parents[1] / "docs"
ERRORS_HEAD = """# Errors

Every answer that is not a success is `application/problem+json` (RFC 9457): `type`, `title`, `status`, `detail`, `code`,
`request_id` and `retryable`, and for bad input `errors`, a list of `pointer` (JSON pointer into the body; below `/query`,
`/path` or `/header` for the rest of the request) and `detail`. Branch on `code`; `detail` is for people and may change.
`retryable` says whether the same request may succeed later.

This file is written by `python -m app.openapi`.

| code | status | title | what to do | retryable |
|---|---|---|---|---|
"""
TAGS = {
    "Data sets": "Declare what a file holds, upload it, and see what validation found in it.",
    "Uploads": "Files in parts, which may come in any order, side by side and again: for what is large or breaks off.",
    "Jobs": "Submit, watch and steer distillations and evaluations, and get their results.",
    "Specs": "What a distillation can be told, and complete specs to start from.",
    "API keys": "Bearer keys and their scopes.",
    "Account": "What the tenant uses, what it may use, and who did what.",
    "Webhooks": "Endpoints that are told of events, and every attempt to tell them (Standard Webhooks).",
    "System": "Health, readiness and metrics; no key is needed.",
}
SUCCESSES = {
    "200": "The answer.",
    "201": "Made; the answer is what was made.",
    "202": "Accepted; what it started goes on.",
    "204": "Done; there is no body.",
}
_OF_FASTAPI = "Successful Response"
_GENERATED_BY_FASTAPI = ("HTTPValidationError", "ValidationError")
_ID_FORM = "[0-9a-f]{32}"
_EXAMPLES = {"name": ARTIFACT["name"], "part_number": 1, "ids": f"{example_id('job')},{OTHER_JOB_ID}"}
_REQUEST_ID = {"$ref": "#/components/headers/X-Request-Id"}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the description of ``app``: what FastAPI knows of it, and what holds for every operation."""
    if app.openapi_schema is None:
        built = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            servers=[{"url": "/", "description": "The service that this document came from."}],
            tags=[{"name": name, "description": text} for name, text in TAGS.items()],
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        )
        components = built["components"]
        for name in _GENERATED_BY_FASTAPI:
            components["schemas"].pop(name, None)
        components["schemas"] |= {"Problem": _schema_of(Problem), "BadField": _schema_of(BadField)}
        components["responses"] = {}
        components["headers"] = header_components()
        components["examples"] = problem_examples(
            {code for method, _, operation in operations(built) for code in codes_of(method, operation)}
        )
        for method, _, operation in operations(built):
            _complete(method, operation, components)
        for item in built["paths"].values():
            if "get" in item:
                item["head"] = _head_of(item["get"])
        built["webhooks"] = describe_webhooks(components["schemas"])
        app.openapi_schema = built
    return app.openapi_schema


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation of a description, without HEAD, which is GET once more."""
    for path, item in description["paths"].items():
        for method, operation in item.items():
            if method != "head":
                yield method, path, operation


def render_openapi(app: FastAPI) -> str:
    return json.dumps(describe(app), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def render_errors() -> str:
    """Return ``docs/errors.md``."""
    rows = [
        f"| `{code}` | {kind.status} | {kind.title} | {kind.advice} | {'yes' if kind.retryable else 'no'} |"
        for code, kind in sorted(ERRORS.items(), key=lambda item: (item[1].status, item[0]))
    ]
    return ERRORS_HEAD + "\n".join(rows) + "\n"


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema


def _complete(method: str, operation: dict[str, Any], components: dict[str, Any]) -> None:
    parameters = operation.setdefault("parameters", [])
    parameters += header_parameters(method, operation["operationId"])
    for parameter in parameters:
        if parameter["in"] == "path" and parameter["name"] in ID_PREFIXES:
            prefix = ID_PREFIXES[parameter["name"]]
            parameter["schema"] |= {"pattern": f"^{prefix}_{_ID_FORM}$"}
            parameter["example"] = example_id(prefix)
        elif parameter["name"] in _EXAMPLES:
            parameter["example"] = _EXAMPLES[parameter["name"]]
    if "requestBody" in operation:
        _add_examples(operation["requestBody"], components["schemas"])
    responses = operation["responses"]
    responses.pop("422", None)
    for status, response in responses.items():
        response["headers"] = success_headers(method, operation, status)
        links = links_of(operation["operationId"], status)
        if links:
            response["links"] = links
        response["description"] = response["description"].replace(_OF_FASTAPI, SUCCESSES.get(status, _OF_FASTAPI))
        _add_examples(response, components["schemas"], OF_OPERATION.get(operation["operationId"]))
    responses.update(failures(codes_of(method, operation), components["responses"]))


def _head_of(get: dict[str, Any]) -> dict[str, Any]:
    """Return the operation that answers with the headers of ``get`` alone."""
    without_body = {
        status: {"description": "As for GET, without the body.", "headers": {"X-Request-Id": _REQUEST_ID}}
        if "$ref" in response
        else {name: response[name] for name in ("description", "headers")}
        for status, response in get["responses"].items()
        if (get["operationId"], status) != ("download_artifact", "307")
    }
    described: dict[str, Any] = {name: get[name] for name in ("tags", "parameters", "security") if name in get}
    return {
        **described,
        "operationId": f"head_{get['operationId']}",
        "summary": f"{get['summary']}: headers",
        "description": "Answer with the status and the headers of GET, without the body.",
        "responses": without_body,
    }


def _add_examples(described: dict[str, Any], schemas: dict[str, Any], known: Any = None) -> None:
    for media_type, content in described.get("content", {}).items():
        if known is not None:
            content["example"] = known
        elif media_type == "application/json":
            content["example"] = example_of(content["schema"], schemas)


def main() -> int:
    """Write both files."""
    from app.main import create_app  # noqa: PLC0415  the application describes itself with this module
    from app.settings import Settings  # noqa: PLC0415

    (DOCS / "openapi.json").write_text(render_openapi(create_app(Settings())), encoding="utf-8")
    (DOCS / "errors.md").write_text(render_errors(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
