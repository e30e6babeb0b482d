"""The OpenAPI description; ``python -m app.openapi`` writes ``docs/openapi.json`` and, from the codes, ``docs/errors.md``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.errors import ERRORS
from app.idempotency import HEADER
from app.problems import MEDIA_TYPE
from app.schemas import Problem

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
_GENERATED_BY_FASTAPI = ("HTTPValidationError", "ValidationError")
_IDEMPOTENCY_PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "A repeat with the same key and body is answered as the first request was.",
}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the description of ``app``, with problem documents as the answer to every failure."""
    if app.openapi_schema is None:
        built = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = built["components"]["schemas"]
        for name in _GENERATED_BY_FASTAPI:
            schemas.pop(name, None)
        schemas["Problem"] = Problem.model_json_schema()
        for path in built["paths"].values():
            for method, operation in path.items():
                _describe_failures(operation)
                if method == "post":
                    operation.setdefault("parameters", []).append(_IDEMPOTENCY_PARAMETER)
        app.openapi_schema = built
    return app.openapi_schema


def render_openapi(app: FastAPI) -> str:
    return json.dumps(describe(app), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def render_errors() -> str:
    """Return ``docs/errors.md``."""
    rows = [
        f"| `{code}` | {kind.status} | {kind.title} | {kind.advice} | {'yes' if kind.retryable else 'no'} |"
        for code, kind in sorted(ERRORS.items(), key=lambda item: (item[1].status, item[0]))
    ]
    return ERRORS_HEAD + "\n".join(rows) + "\n"


def _describe_failures(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    responses["default"] = {"description": "A problem; docs/errors.md lists the codes.", "content": {MEDIA_TYPE: problem}}


def main() -> int:
    """Write both files."""
    from app.main import create_app  # noqa: PLC0415  the application describes itself with this module
    from app.settings import Settings  # noqa: PLC0415

    (DOCS / "openapi.json").write_text(render_openapi(create_app(Settings())), encoding="utf-8")
    (DOCS / "errors.md").write_text(render_errors(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
