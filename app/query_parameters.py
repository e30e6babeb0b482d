"""Query parameters, as strict as the body: none that the endpoint does not know, and none twice."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, TypeGuard, get_origin

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel
from starlette.requests import Request

from app.errors import FieldProblem, ServiceError, json_pointer

_NAME_CHARACTERS = 80


def known_parameters(dependant: Dependant) -> frozenset[str] | None:
    """Return the names an endpoint takes; None where a model of its own decides, and refuses the rest."""
    known: set[str] = set()
    for part in _with_dependencies(dependant):
        if any(_is_model(field.field_info.annotation) for field in part.query_params):
            return None
        known |= {field.alias for field in part.query_params}
    return frozenset(known)


def repeatable_parameters(dependant: Dependant) -> frozenset[str]:
    """Return the names that an endpoint takes a list of."""
    repeatable: set[str] = set()
    for part in _with_dependencies(dependant):
        for field in part.query_params:
            annotation = field.field_info.annotation
            if _is_model(annotation):
                repeatable |= {name for name, inner in annotation.model_fields.items() if get_origin(inner.annotation) is list}
            elif get_origin(annotation) is list:
                repeatable.add(field.alias)
    return frozenset(repeatable)


def check_parameters(request: Request, known: frozenset[str] | None, repeatable: frozenset[str]) -> None:
    """Refuse parameters that are unknown, or come twice where one is taken.

    Raises:
        ServiceError: invalid_request.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    for index, name in enumerate(names):
        if known is not None and name not in known:
            allowed = f"allowed: {', '.join(sorted(known))}" if known else "this path takes none"
            raise _refusal(name, f"unknown parameter; {allowed}")
        if name in names[:index] and name not in repeatable:
            raise _refusal(name, "given more than once; give it once")


def _with_dependencies(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for part in dependant.dependencies:
        yield from _with_dependencies(part)


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return inspect.isclass(annotation) and issubclass(annotation, BaseModel)


def _refusal(name: str, detail: str) -> ServiceError:
    problem = FieldProblem(json_pointer(("query", name[:_NAME_CHARACTERS])), detail)
    return ServiceError("invalid_request", f"{problem.pointer}: {detail}", problems=(problem,))
