"""API keys: made, shown once, revoked."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.clock import database_now
from app.dashboard.forms import Form, validate
from app.dashboard.page_route import InForm, PageRoute, begin_post, redirect
from app.dashboard.pages import show, show_form
from app.dependencies import Admin, InServices
from app.errors import FieldProblem, ServiceError
from app.pagination import PageQuery
from app.services import Services
from app.tenants import endpoints
from app.tenants.schemas import ApiKeyCreate, NewApiKeyOut, Scope
from app.tenants.service import Caller

LONGEST_LIFE_DAYS = 3650
USUAL_SCOPES = tuple(scope for scope in Scope if scope != Scope.ADMIN)
_DAYS = re.compile("[0-9]{1,4}")

router = APIRouter(prefix="/dashboard/keys", route_class=PageRoute, include_in_schema=False)


@router.get("")
def list_keys(request: Request, page: Annotated[PageQuery, Query()], caller: Admin, services: InServices) -> Response:
    """Show a page of the list, and the form for a new one."""
    return _show_keys(request, page, caller, services, filled_in={})


@router.post("")
def create_key(request: Request, form: InForm, caller: Admin, services: InServices) -> Response:
    """Make a key and show it, this once. A session alone is not enough: a cookie that was stolen must not make keys."""
    try:
        _confirm(form, caller, services)
        made = endpoints.create_api_key(_read_key(form, services), begin_post(request, form), services)
    except ServiceError as error:
        return _show_keys(request, PageQuery(), caller, services, filled_in=form.values, error=error)
    return show(request, "key_made.html.j2", key=NewApiKeyOut.model_validate_json(bytes(made.body)))


@router.get("/{key_id}/revoke")
def ask_before_revoking(key_id: str, request: Request, caller: Admin, services: InServices) -> Response:
    """Ask whether it is meant."""
    key = endpoints.get_api_key(key_id, caller, services)
    return show(request, "key_revoke.html.j2", key=key, is_own=key.id == caller.key_id)


@router.post("/{key_id}/revoke")
def revoke_key(key_id: str, caller: Admin, services: InServices) -> Response:
    """Revoke it."""
    endpoints.revoke_api_key(key_id, caller, services)
    return redirect("/dashboard/keys")


def _show_keys(
    request: Request,
    page: PageQuery,
    caller: Caller,
    services: Services,
    *,
    filled_in: dict[str, str],
    error: ServiceError | None = None,
) -> Response:
    return show_form(
        request,
        "keys.html.j2",
        error,
        page=endpoints.list_api_keys(page, caller, services),
        is_first=page.cursor is None,
        scopes=list(Scope),
        chosen={name.removeprefix("scope.") for name in filled_in if name.startswith("scope.")} if filled_in else USUAL_SCOPES,
        filled_in=filled_in,
        own_key_id=caller.key_id,
    )


def _confirm(form: Form, caller: Caller, services: Services) -> None:
    """Refuse unless the form has the key that the session was begun with."""
    try:
        confirmed = services.authenticator.authenticate(f"Bearer {form.get('own_key')}").key_id == caller.key_id
    except ServiceError:
        confirmed = False
    if not confirmed:
        detail = "enter the key that you signed in with"
        raise ServiceError("invalid_request", f"Your own key: {detail}.", problems=(FieldProblem("/own_key", detail),))


def _read_key(form: Form, services: Services) -> ApiKeyCreate:
    values: dict[str, Any] = {
        "name": form.get("name"),
        "scopes": [scope for scope in Scope if f"scope.{scope}" in form.fields],
    }
    days = form.get("expires_in_days")
    if days:
        if not (_DAYS.fullmatch(days) and 1 <= int(days) <= LONGEST_LIFE_DAYS):
            detail = f"is {days[:20]!r}; give whole days from 1 to {LONGEST_LIFE_DAYS}, or nothing"
            raise ServiceError(
                "invalid_request", f"Days until it expires: {detail}.", problems=(FieldProblem("/expires_in_days", detail),)
            )
        with services.reading_sessions() as session:
            values["expires_at"] = database_now(session) + timedelta(days=int(days))
    return validate(ApiKeyCreate, values)
