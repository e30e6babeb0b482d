"""``/docs``: every operation on one page, with examples and errors, without scripts and without anything from another host."""

from __future__ import annotations

import json
import re
from itertools import groupby
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from app.errors import ERRORS
from app.openapi_curl import curl_of
from app.openapi_types import fields_of, type_of
from app.problems import MEDIA_TYPE

METHODS = ("get", "post", "put", "patch", "delete")
RECEIVED = "Received by your endpoint"

Description = dict[str, Any]


def render_api_page(description: Description) -> str:
    """Return the page for an OpenAPI description; it says nothing of the request, whose ``Host`` anybody may choose."""
    info = description["info"]
    return _environment.get_template("api_page.html.j2").render(
        title=f"{info['title']} {info['version']}",
        description=info["description"],
        groups=groups_of(description),
    )


def groups_of(description: Description) -> list[dict[str, Any]]:
    """Return the operations of an OpenAPI description by tag, and the webhooks, as pages show them."""
    return [_group(tag, description) for tag in description["tags"]] + [_received(description)]


def _group(tag: Description, description: Description) -> dict[str, Any]:
    operations = [
        _operation(method, path, item[method], description)
        for path, item in description["paths"].items()
        for method in METHODS
        if method in item and tag["name"] in item[method]["tags"]
    ]
    return {**tag, "anchor": _anchor(tag["name"]), "operations": operations}


def _received(description: Description) -> dict[str, Any]:
    """Return the webhooks: operations of the receiver."""
    operations = [_operation("post", name, item["post"], description) for name, item in description["webhooks"].items()]
    for operation in operations:
        operation["curl"] = ""
    text = "What a webhook endpoint is sent, by type; signed by the rules of Standard Webhooks."
    return {"name": RECEIVED, "anchor": _anchor(RECEIVED), "description": text, "operations": operations}


def _operation(method: str, path: str, operation: Description, description: Description) -> dict[str, Any]:
    schemas = description["components"]["schemas"]
    media_type, content = _first_content(operation.get("requestBody", {}))
    errors = _errors(operation, description)
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "short_path": path.removeprefix("/v1"),
        "description": operation["description"],
        "scope": next(
            (scope for needed in operation.get("security", ()) for scopes in needed.values() for scope in scopes), ""
        ),
        "parameters": [_parameter(parameter, schemas) for parameter in operation.get("parameters", ())],
        "media_type": "" if media_type == "application/json" else media_type,
        "body": fields_of(content["schema"], schemas) if content else [],
        "example": _show(content.get("example")),
        "curl": curl_of(method, path, operation),
        "answers": [
            _answer(status, response, schemas)
            for status, response in operation["responses"].items()
            if not _is_failure(status, response)
        ],
        "errors": errors,
        "errors_by_status": [
            (status, [error["code"] for error in some]) for status, some in groupby(errors, lambda error: error["status"])
        ],
    }


def _scope(operation: Description) -> str:
    """Return the one scope that the operation needs; of the system's operations, none."""
    return next((scope for needed in operation.get("security", ()) for (scope,) in needed.values()), "")


def _parameter(parameter: Description, schemas: Description) -> dict[str, Any]:
    kind = f"{parameter['in']}, {type_of(parameter['schema'], schemas)}"
    given = {"name": parameter["name"], "required": parameter["required"], "type": kind}
    return {**given, "description": parameter.get("description", "")}


def _answer(status: str, response: Description, schemas: Description) -> dict[str, Any]:
    media_type, content = _first_content(response)
    return {
        "status": status,
        "description": response["description"],
        "headers": sorted(response.get("headers", ())),
        "example": _show(content.get("example")),
        "fields": fields_of(content["schema"], schemas) if media_type == "application/json" else [],
    }


def _first_content(described: Description) -> tuple[str, Description]:
    """Return media type and content of a body; there is one at most."""
    for media_type, content in described.get("content", {}).items():
        return media_type, content
    return "", {}


def _is_failure(status: str, response: Description) -> bool:
    return "$ref" in response and status[0] in "45"


def _errors(operation: Description, description: Description) -> list[dict[str, Any]]:
    """Return every error of an operation, by status."""
    listed = []
    for status, reference in operation["responses"].items():
        if _is_failure(status, reference):
            response = description["components"]["responses"][reference["$ref"].rpartition("/")[2]]
            for code in response["content"][MEDIA_TYPE]["schema"]["properties"]["code"]["enum"]:
                kind = ERRORS[code]
                error = {"status": status, "code": code, "title": kind.title, "advice": kind.advice}
                listed.append({**error, "retryable": kind.retryable})
    return listed


def _show(example: Any) -> str:
    if example is None or isinstance(example, str):
        return example or ""
    return json.dumps(example, indent=2, ensure_ascii=False)


def _anchor(name: str) -> str:
    return re.sub(r"[^a-z]+", "-", name.lower())


def _inline(text: str) -> Markup:
    """Return text in which what stands between backquotes is code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _paragraphs(text: str) -> list[Markup]:
    return [_inline(part) for part in text.split("\n\n") if part]


_environment = Environment(
    loader=PackageLoader("app"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.filters.update(inline=_inline, paragraphs=_paragraphs)
