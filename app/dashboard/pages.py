"""Templates to pages, with headers that let a page load its own files and nothing else. Everything is escaped."""

from __future__ import annotations

from functools import cache
from typing import Any
from uuid import uuid4

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from app.dashboard.formatting import FILTERS, percent
from app.dashboard.forms import CSRF_FIELD, IDEMPOTENCY_FIELD
from app.dashboard.static_files import url_of
from app.errors import ServiceError
from app.jobs.schemas import JobOut

THEME_COOKIE = "farzi_theme"
THEMES = ("light", "dark")
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Without a referrer a browser would not say which site a form comes from.
    "Referrer-Policy": "same-origin",
    "Vary": "Accept, Cookie",
}


def headline_ratio(job: JobOut) -> str:
    """Return what share of full data the result reaches, by the first ratio among the job's figures."""
    named = (value for name, value in job.metrics.items() if name.startswith("ratio_") and name.endswith("_mean"))
    return percent(next(named, None))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("app.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS | {"headline_ratio": headline_ratio}
    environment.globals |= {
        "static": url_of,
        "csrf_field": CSRF_FIELD,
        "idempotency_field": IDEMPOTENCY_FIELD,
        "new_key": lambda: uuid4().hex,
    }
    return environment


def render(request: Request, template: str, **context: Any) -> str:
    """Return the HTML of a template."""
    session = getattr(request.state, "session", None)
    theme = request.cookies.get(THEME_COOKIE)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return (
        _environment()
        .get_template(template)
        .render(
            csrf_token="" if session is None else session.csrf_token,
            is_signed_in=session is not None,
            theme=theme if theme in THEMES else None,
            path=request.url.path,
            here=here if request.method == "GET" else "/",
            **context,
        )
    )


def show(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """Return the answer that shows a template."""
    return HTMLResponse(render(request, template, **context), status, PAGE_HEADERS)


def show_form(request: Request, template: str, error: ServiceError | None, **context: Any) -> HTMLResponse:
    """Return a page with a form; where the form was refused, it says why and has the status of the refusal."""
    return show(request, template, status=200 if error is None else error.kind.status, error=error, **context)
