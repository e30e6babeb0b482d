"""Paths of the contract that are not built yet: each says so instead of pretending not to exist."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter, Request

from app.dependencies import AuthenticatedRoute
from app.errors import ServiceError

UNBUILT: dict[str, tuple[str, ...]] = {
}

router = APIRouter(route_class=AuthenticatedRoute)
public_router = APIRouter()


def _not_implemented(request: Request) -> NoReturn:
    raise ServiceError("not_implemented", f"{request.method} {request.url.path} is not built yet.")


for _path, _methods in UNBUILT.items():
    router.add_api_route(_path, _not_implemented, methods=list(_methods), response_model=None, include_in_schema=False)
public_router.add_api_route("/", _not_implemented, methods=["GET"], response_model=None, include_in_schema=False)
