"""Webhook endpoints: made, tried, stopped, given another secret, deleted; and what became of the newest deliveries to each."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.dashboard.forms import Form, validate
from app.dashboard.page_route import InForm, PageRoute, begin_post, redirect
from app.dashboard.pages import show, show_form
from app.dependencies import Admin, InServices
from app.errors import ServiceError
from app.pagination import PageQuery
from app.services import Services
from app.tenants.service import Caller
from app.webhooks import delivery_endpoints, endpoints
from app.webhooks.event_types import WebhookEventType
from app.webhooks.schemas import DeliveryQuery, NewWebhookEndpointOut, WebhookEndpointCreate, WebhookEndpointUpdate

DELIVERIES_SHOWN = 25

router = APIRouter(prefix="/dashboard/webhooks", route_class=PageRoute, include_in_schema=False)


@router.get("")
def list_endpoints(request: Request, page: Annotated[PageQuery, Query()], caller: Admin, services: InServices) -> Response:
    """Show a page of the list, and the form for a new one."""
    return _show_list(request, page, caller, services, filled_in={})


@router.post("")
def create_endpoint(request: Request, form: InForm, caller: Admin, services: InServices) -> Response:
    """Make an endpoint and show its secret, this once."""
    try:
        made = endpoints.create_webhook_endpoint(_read_endpoint(form), begin_post(request, form), services)
    except ServiceError as error:
        return _show_list(request, PageQuery(), caller, services, filled_in=form.values, error=error)
    return _show_secret(request, made)


@router.get("/{endpoint_id}")
def show_endpoint(endpoint_id: str, request: Request, caller: Admin, services: InServices) -> Response:
    """Show one endpoint and its newest deliveries."""
    endpoint = endpoints.get_webhook_endpoint(endpoint_id, caller, services)
    deliveries = delivery_endpoints.list_deliveries(
        DeliveryQuery(endpoint_id=endpoint_id, limit=DELIVERIES_SHOWN), caller, services
    )
    detailed = [delivery_endpoints.get_delivery(delivery.id, caller, services) for delivery in deliveries.data]
    return show(request, "webhook.html.j2", endpoint=endpoint, deliveries=detailed, has_more=deliveries.has_more)


@router.post("/{endpoint_id}/test")
def send_test(endpoint_id: str, request: Request, form: InForm, _caller: Admin) -> Response:
    """Send an event that says nothing."""
    endpoints.test_webhook_endpoint(endpoint_id, begin_post(request, form))
    return redirect(f"/dashboard/webhooks/{endpoint_id}")


@router.post("/{endpoint_id}/enable")
def enable_endpoint(endpoint_id: str, caller: Admin, services: InServices) -> Response:
    """Let deliveries go on."""
    endpoints.update_webhook_endpoint(endpoint_id, WebhookEndpointUpdate(enabled=True), caller, services)
    return redirect(f"/dashboard/webhooks/{endpoint_id}")


@router.post("/{endpoint_id}/disable")
def disable_endpoint(endpoint_id: str, caller: Admin, services: InServices) -> Response:
    """Stop deliveries; they wait."""
    endpoints.update_webhook_endpoint(endpoint_id, WebhookEndpointUpdate(enabled=False), caller, services)
    return redirect(f"/dashboard/webhooks/{endpoint_id}")


@router.post("/{endpoint_id}/rotate")
def rotate_secret(endpoint_id: str, request: Request, form: InForm, _caller: Admin, services: InServices) -> Response:
    """Make another secret and show it, this once."""
    return _show_secret(request, endpoints.rotate_webhook_secret(endpoint_id, begin_post(request, form), services))


@router.get("/{endpoint_id}/delete")
def ask_before_deleting(endpoint_id: str, request: Request, caller: Admin, services: InServices) -> Response:
    """Ask whether it is meant."""
    return show(request, "webhook_delete.html.j2", endpoint=endpoints.get_webhook_endpoint(endpoint_id, caller, services))


@router.post("/{endpoint_id}/delete")
def delete_endpoint(endpoint_id: str, caller: Admin, services: InServices) -> Response:
    """Delete it."""
    endpoints.delete_webhook_endpoint(endpoint_id, caller, services)
    return redirect("/dashboard/webhooks")


@router.post("/{endpoint_id}/deliveries/{delivery_id}/replay")
def replay(endpoint_id: str, delivery_id: str, request: Request, form: InForm, _caller: Admin) -> Response:
    """Send an event again."""
    delivery_endpoints.replay_delivery(delivery_id, begin_post(request, form))
    return redirect(f"/dashboard/webhooks/{endpoint_id}")


def _show_list(
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
        "webhooks.html.j2",
        error,
        page=endpoints.list_webhook_endpoints(page, caller, services),
        is_first=page.cursor is None,
        event_types=_chosen_types(),
        filled_in=filled_in,
    )


def _show_secret(request: Request, made: Response) -> Response:
    return show(request, "webhook_secret.html.j2", endpoint=NewWebhookEndpointOut.model_validate_json(bytes(made.body)))


def _chosen_types() -> list[WebhookEventType]:
    """Return what can be chosen; a test is sent to every endpoint that asks for it."""
    return [kind for kind in WebhookEventType if kind != WebhookEventType.WEBHOOK_TEST]


def _read_endpoint(form: Form) -> WebhookEndpointCreate:
    types = [kind for kind in _chosen_types() if f"type.{kind}" in form.fields]
    values: dict[str, Any] = {
        "url": form.get("url"),
        "description": form.get("description"),
        "event_types": types or None,
    }
    return validate(WebhookEndpointCreate, values)
