"""What endpoints ask for: the service's parts, the caller with the scope it needs, and the transaction of a POST."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, MutableMapping
from typing import Annotated, Any

from fastapi import Depends, Request, Response, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.routing import Match

from app.errors import ServiceError
from app.idempotency import HEADER, Post, make_fingerprint, read_key
from app.json_body import limited, read_json_body
from app.pagination import cursors_of_list
from app.query_parameters import check_parameters, known_parameters, repeatable_parameters
from app.request_context import enter_tenant
from app.services import Services
from app.tenants.rate_limits import too_many_requests
from app.tenants.schemas import Scope
from app.tenants.service import Caller

_bearer = HTTPBearer(
    scheme_name="ApiKey", bearerFormat="fz_...", auto_error=False, description="An API key: `Authorization: Bearer fz_...`"
)

_WRITTEN_OUT: set[str] = set()


class AuthenticatedRoute(APIRoute):
    """A route whose caller is known before a byte of the body is read, and whose body is JSON.

    A path that is written out is never read as an id of a path with parameters, whatever the method.
    """

    def __init__(self, path: str, *arguments: Any, **options: Any) -> None:
        super().__init__(path, *arguments, **options)
        if "{" not in path:
            _WRITTEN_OUT.add(path)

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, MutableMapping[str, Any]]:
        if "{" in self.path and scope["path"] in _WRITTEN_OUT:
            return Match.NONE, {}
        return super().matches(scope)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        parameters, repeatable = known_parameters(self.dependant), repeatable_parameters(self.dependant)
        takes_body = self.body_field is not None

        async def handle_authenticated(request: Request) -> Response:
            caller = await _authenticate(request)
            check_parameters(request, parameters, repeatable)
            request = limited(request)
            body = await read_json_body(request, is_taken=takes_body)
            request.state.fingerprint = make_fingerprint(request.method, request.url.path, body)
            with cursors_of_list(get_services(request).secret, caller.tenant_id, request.url.path):
                return await handle(request)

        return handle_authenticated


class StreamedRoute(APIRoute):
    """A route whose caller is known before a byte of the body is read; the endpoint reads the body itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        parameters, repeatable = known_parameters(self.dependant), repeatable_parameters(self.dependant)

        async def handle_authenticated(request: Request) -> Response:
            await _authenticate(request)
            check_parameters(request, parameters, repeatable)
            return await handle(request)

        return handle_authenticated


async def _authenticate(request: Request) -> Caller:
    if "\0" in request.url.path or b"%00" in request.scope["query_string"]:
        raise ServiceError("bad_request", "The URL has a NUL character; no id, cursor or label has one.")
    caller = await run_in_threadpool(_admit, request)
    enter_tenant(caller.tenant_id, caller.key_id)
    return caller


def _admit(request: Request) -> Caller:
    caller = get_services(request).authenticator.authenticate(request.headers.get("authorization"))
    admit_caller(request, caller)
    return caller


def admit_caller(request: Request, caller: Caller) -> None:
    """Take this request from what its tenant may send; a stream of events counts once."""
    services = get_services(request)
    request.state.caller = caller
    if services.rate_limiter is not None:
        request.state.allowance = allowance = services.rate_limiter.take(caller.tenant_id)
        if allowance is not None and allowance.retry_after_s is not None:
            services.metrics.rate_limited.inc()
            raise too_many_requests(allowance)


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


InServices = Annotated[Services, Depends(get_services)]


async def _with_key(_credentials: Annotated[object, Security(_bearer)]) -> None:
    """Say in the description of the API that a key is needed; the route has looked at it already."""


def _require(scope: Scope) -> Callable[..., Coroutine[Any, Any, Caller]]:
    # Default values, because an annotation is looked up outside of this function and cannot see `scope`.
    credentials: Any = Security(_with_key, scopes=[str(scope)])

    async def caller_with_scope(request: Request, _credentials: object = credentials) -> Caller:
        caller: Caller = request.state.caller
        caller.require(scope)
        return caller

    return caller_with_scope


def _begin_post(scope: Scope) -> Callable[..., Coroutine[Any, Any, Post]]:
    with_scope: Any = Depends(_require(scope))

    async def begin_post(request: Request, services: InServices, caller: Caller = with_scope) -> Post:
        key = read_key(request.headers.get(HEADER))
        return Post(services.sessions, services.keys_in_flight, caller.tenant_id, key, request.state.fingerprint)

    return begin_post


DatasetReader = Annotated[Caller, Depends(_require(Scope.DATASETS_READ))]
DatasetWriter = Annotated[Caller, Depends(_require(Scope.DATASETS_WRITE))]
JobReader = Annotated[Caller, Depends(_require(Scope.JOBS_READ))]
JobWriter = Annotated[Caller, Depends(_require(Scope.JOBS_WRITE))]
Admin = Annotated[Caller, Depends(_require(Scope.ADMIN))]
DatasetPost = Annotated[Post, Depends(_begin_post(Scope.DATASETS_WRITE))]
JobPost = Annotated[Post, Depends(_begin_post(Scope.JOBS_WRITE))]
AdminPost = Annotated[Post, Depends(_begin_post(Scope.ADMIN))]
