"""Sign in with an API key, sign out, and choose light or dark. The key is compared and forgotten."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.dashboard.forms import is_encrypted, own_path
from app.dashboard.page_route import ENDS_SESSION, SIGN_IN, InForm, OpenRoute, PageRoute, get_seal, redirect
from app.dashboard.pages import THEME_COOKIE, THEMES, show
from app.dashboard.session import COOKIE_NAME, LIFETIME_S
from app.dependencies import InServices
from app.errors import ERRORS, ServiceError

TEMPLATE = "sign_in.html.j2"
THEME_KEPT_S = 365 * 86400

open_router = APIRouter(prefix="/dashboard", route_class=OpenRoute, include_in_schema=False)
router = APIRouter(prefix="/dashboard", route_class=PageRoute, include_in_schema=False)


def show_sign_in(request: Request, *, target: str = "/", refusal: str | None = None, status: int = 200) -> Response:
    """Return the page with the form; after signing in it goes on to ``target``."""
    return show(request, TEMPLATE, status=status, target=target, refusal=refusal)


@open_router.get("/sign-in")
def get_sign_in(
    request: Request,
    target: Annotated[str | None, Query(alias="next", max_length=2000)] = None,
    reason: Annotated[str | None, Query(max_length=50)] = None,
) -> Response:
    """Ask for a key, and say why whoever was signed in is not any more."""
    said = f"{ERRORS[reason].title}. Sign in again." if reason in ENDS_SESSION else None
    return show_sign_in(request, target=own_path(target), refusal=said)


@open_router.post("/sign-in")
def sign_in(request: Request, form: InForm, services: InServices) -> Response:
    """Begin a session for the key in the form."""
    target = own_path(form.get("next"))
    try:
        caller = services.authenticator.authenticate(f"Bearer {form.get('api_key')}")
    except ServiceError as error:
        message = "Enter an API key." if error.code == "missing_api_key" else error.message
        return show_sign_in(request, target=target, refusal=message, status=error.kind.status)
    answer = redirect(target)
    answer.set_cookie(
        COOKIE_NAME,
        get_seal(request).begin(caller.key_id),
        max_age=LIFETIME_S,
        path="/",
        secure=is_encrypted(request),
        httponly=True,
        samesite="strict",
    )
    return answer


@router.post("/sign-out")
def sign_out() -> Response:
    """End the session of this browser."""
    answer = redirect(SIGN_IN)
    answer.delete_cookie(COOKIE_NAME, path="/")
    return answer


@open_router.post("/theme")
def choose_theme(request: Request, form: InForm) -> Response:
    """Remember light or dark; anything else is what the system says."""
    answer = redirect(own_path(form.get("next")))
    theme = form.get("theme")
    if theme in THEMES:
        secure = is_encrypted(request)
        answer.set_cookie(THEME_COOKIE, theme, max_age=THEME_KEPT_S, path="/", samesite="strict", secure=secure)
    else:
        answer.delete_cookie(THEME_COOKIE, path="/")
    return answer
