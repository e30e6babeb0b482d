"""Routes of pages: who is signed in is known before anything else, and a form comes from a page of the same session.

What comes after is as for a bearer key: the same rate limit, the same second wall between tenants, the same checks of scopes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute

from app.dashboard.forms import CSRF_HEADER, Form, parse_form, require_same_site
from app.dashboard.session import COOKIE_NAME, BrowserSession, SessionSeal
from app.dependencies import admit_caller, get_services
from app.errors import ServiceError
from app.idempotency import Post, make_fingerprint
from app.json_body import limited
from app.pagination import cursors_of_list
from app.query_parameters import check_parameters, known_parameters, repeatable_parameters
from app.request_context import enter_tenant
from app.tenants.service import CHALLENGE

SIGN_IN = "/dashboard/sign-in"
SAFE_METHODS = frozenset({"GET", "HEAD"})
ENDS_SESSION = frozenset({"session_over", "invalid_api_key", "expired_api_key", "revoked_api_key"})

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class OpenRoute(APIRoute):
    """A page that everybody may see; ``request.state.session`` says who is signed in, if anybody is."""

    needs_session = False

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        parameters, repeatable = known_parameters(self.dependant), repeatable_parameters(self.dependant)

        async def handle_page(request: Request) -> Response:
            request.state.session = get_seal(request).open(request.cookies.get(COOKIE_NAME))
            try:
                await self._admit(request)
            except ServiceError as error:
                if error.code not in ENDS_SESSION or not wants_page(request):
                    raise
                if self.needs_session:
                    return _to_sign_in(request, error.code)
                request.state.session = None
            check_parameters(request, parameters, repeatable)
            if request.method == "POST":
                request = limited(request)
                body = await request.body()
                request.state.form = parse_form(body, request.headers.get("content-type", ""))
                request.state.fingerprint = make_fingerprint(request.method, request.url.path, body)
            self._check_origin(request)
            with _cursors(request):
                return await handle(request)

        return handle_page

    async def _admit(self, request: Request) -> None:
        session: BrowserSession | None = request.state.session
        if session is None:
            return
        caller = await run_in_threadpool(get_services(request).authenticator.recognise, session.key_id)
        await run_in_threadpool(admit_caller, request, caller)
        enter_tenant(caller.tenant_id, caller.key_id)

    def _check_origin(self, request: Request) -> None:
        if request.method not in SAFE_METHODS:
            require_same_site(request)


class PageRoute(OpenRoute):
    """A page of somebody who is signed in; others are led to the sign-in page and back."""

    needs_session = True

    async def _admit(self, request: Request) -> None:
        if request.state.session is None:
            raise ServiceError("session_over", "Nobody is signed in here, or the session is over.", headers=CHALLENGE)
        await super()._admit(request)

    def _check_origin(self, request: Request) -> None:
        super()._check_origin(request)
        if request.method in SAFE_METHODS:
            return
        form: Form | None = getattr(request.state, "form", None)
        token = request.headers.get(CSRF_HEADER) or (form.csrf_token if form else None)
        if not request.state.session.owns(token):
            raise ServiceError("csrf_refused", "The form has no token of this session; nothing was done.")


def get_seal(request: Request) -> SessionSeal:
    return SessionSeal(get_services(request).secret)


def wants_page(request: Request) -> bool:
    """Whether a person will look at the answer; a script of a page asks for JSON, or for events."""
    return "text/html" in request.headers.get("accept", "")


async def _read_form(request: Request) -> Form:
    form: Form = request.state.form
    return form


InForm = Annotated[Form, Depends(_read_form)]


def begin_post(request: Request, form: Form) -> Post:
    """Return what carries out a form once, however often it is sent."""
    services = get_services(request)
    fingerprint: str = request.state.fingerprint
    tenant_id: str = request.state.caller.tenant_id
    return Post(services.sessions, services.keys_in_flight, tenant_id, form.idempotency_key, fingerprint)


def redirect(path: str) -> Response:
    """Return the answer to a form that was carried out: look at the result with a request of its own."""
    return RedirectResponse(path, 303)


def _cursors(request: Request) -> Any:
    caller = getattr(request.state, "caller", None)
    if caller is None:
        return nullcontext()
    return cursors_of_list(get_services(request).secret, caller.tenant_id, request.url.path)


def _to_sign_in(request: Request, code: str) -> Response:
    query = {"reason": code} if request.cookies.get(COOKIE_NAME) else {}
    if request.method in SAFE_METHODS:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        query["next"] = target
    answer = redirect(f"{SIGN_IN}?{urlencode(query)}" if query else SIGN_IN)
    answer.delete_cookie(COOKIE_NAME, path="/")
    return answer
