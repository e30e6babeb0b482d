"""The dashboard's path, which says that it is not built yet instead of pretending not to exist."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter, Request

from app.errors import ServiceError

router = APIRouter()


@router.get("/", response_model=None, include_in_schema=False)
def show_dashboard(request: Request) -> NoReturn:
    raise ServiceError("not_implemented", f"{request.method} {request.url.path} is not built yet.")
