"""What a browser sends: fields of a form, the token in them, and where the browser says that the request comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.errors import FieldProblem, ServiceError
from app.problems import field_problems, summarise

MEDIA_TYPE = "application/x-www-form-urlencoded"
CSRF_FIELD = "csrf_token"
CSRF_HEADER = "X-CSRF-Token"
IDEMPOTENCY_FIELD = "idempotency_key"
MAX_FIELDS = 500
_OWN_PATH = re.compile(r"/(?![/\\])[!-~]*")
_OWN_FIELDS = frozenset({CSRF_FIELD, IDEMPOTENCY_FIELD, "next"})

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Form:
    """Fields of a form, each as it was sent last."""

    fields: Mapping[str, str]

    def get(self, name: str) -> str:
        return self.fields.get(name, "").strip()

    @property
    def values(self) -> dict[str, str]:
        """What the person filled in."""
        return {name: value for name, value in self.fields.items() if name not in _OWN_FIELDS}

    @property
    def unkeyed(self) -> Form:
        """The form for a question that is asked before it is sent: the key is left for the sending."""
        return Form({name: value for name, value in self.fields.items() if name != IDEMPOTENCY_FIELD})

    @property
    def csrf_token(self) -> str | None:
        return self.fields.get(CSRF_FIELD)

    @property
    def idempotency_key(self) -> str | None:
        """Key of this one form: sent twice, it is carried out once. It can be no key that a client of the API chose."""
        given = self.get(IDEMPOTENCY_FIELD)
        return f"dashboard {given[:100]}" if given.isascii() and given.isprintable() and given else None


def parse_form(body: bytes, media_type: str) -> Form:
    """Read the body of a form.

    Raises:
        ServiceError: it has another media type, or cannot be read.
    """
    if body and media_type.partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise ServiceError("unsupported_media_type", f"A form is sent as {MEDIA_TYPE}.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise ServiceError("bad_request", f"The form cannot be read: {type(error).__name__}.") from None
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            problem = FieldProblem(f"/{name[:80]}", "the text has a NUL; leave it out")
            raise ServiceError("invalid_request", f"{problem.pointer}: {problem.detail}", problems=(problem,))
    return Form(dict(pairs))


def validate(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Return what a form asks for as the API takes it.

    Raises:
        ServiceError: invalid_request, with a problem for each value that is not allowed.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = field_problems(error.errors(), values)
        raise ServiceError("invalid_request", summarise(problems), problems=problems) from None


def require_same_site(request: Request) -> None:
    """Refuse a form that another site's page sends; a client that is no browser says nothing of sites, and may pass.

    Raises:
        ServiceError: csrf_refused.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        is_own = site in {"same-origin", "none"}
    else:
        is_own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not is_own:
        raise ServiceError("csrf_refused", "The browser says that a page of another site sent this form; nothing was done.")


def is_encrypted(request: Request) -> bool:
    """Whether the browser talks https, to this server or to a proxy before it: with a form it says where its page came from."""
    return "https" in {request.url.scheme, urlsplit(request.headers.get("origin", "")).scheme}


def own_path(given: str | None) -> str:
    """Return a path of this site to go to: what was given, or the first page if that leads elsewhere."""
    return given if given is not None and _OWN_PATH.fullmatch(given) else "/"
