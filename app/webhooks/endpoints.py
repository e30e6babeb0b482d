"""``/v1/webhook-endpoints``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from app.dependencies import Admin, AdminPost, AuthenticatedRoute, InServices
from app.idempotency import Answer
from app.pagination import PageQuery, make_page
from app.schemas import Page
from app.services import Services
from app.webhooks import repository, service
from app.webhooks.models import WebhookEndpoint
from app.webhooks.schemas import (
    DeliveryOut,
    NewWebhookEndpointOut,
    SecretRotation,
    WebhookEndpointCreate,
    WebhookEndpointOut,
    WebhookEndpointUpdate,
)
from app.webhooks.targets import TargetPolicy

router = APIRouter(prefix="/v1/webhook-endpoints", tags=["Webhooks"], route_class=AuthenticatedRoute)


@router.post("", status_code=201, response_model=NewWebhookEndpointOut)
def create_webhook_endpoint(body: WebhookEndpointCreate, post: AdminPost, services: InServices) -> Response:
    """Make an endpoint that is told of events. Its signing secret is in this answer and nowhere else."""
    earlier = post.replay()
    if earlier is not None:
        return earlier
    service.check_url(_policy(services), body.url)

    def create(session: Session) -> Answer:
        row, secret = service.create_endpoint(session, post.tenant_id, body, services.box)
        return _with_secret(row, secret, 201, {"Location": f"/v1/webhook-endpoints/{row.id}"})

    return post.once(create)


@router.get("")
def list_webhook_endpoints(
    page: Annotated[PageQuery, Query()], caller: Admin, services: InServices
) -> Page[WebhookEndpointOut]:
    """List endpoints, newest first."""
    with services.reading_sessions() as session:
        rows, has_more = repository.list_endpoints(session, caller.tenant_id, page)
    return make_page(rows, has_more, WebhookEndpointOut.of, lambda row: row.id)


@router.get("/{endpoint_id}")
def get_webhook_endpoint(endpoint_id: str, caller: Admin, services: InServices) -> WebhookEndpointOut:
    """Return one endpoint, without its secret."""
    with services.reading_sessions() as session:
        return WebhookEndpointOut.of(service.get_endpoint(session, caller.tenant_id, endpoint_id))


@router.patch("/{endpoint_id}")
def update_webhook_endpoint(
    endpoint_id: str, body: WebhookEndpointUpdate, caller: Admin, services: InServices
) -> WebhookEndpointOut:
    """Change an endpoint. `enabled: true` lets a disabled one go on: deliveries that waited are sent."""
    if body.url is not None:
        service.check_url(_policy(services), body.url)
    with services.sessions.begin() as session:
        return WebhookEndpointOut.of(service.update_endpoint(session, caller.tenant_id, endpoint_id, body))


@router.delete("/{endpoint_id}", status_code=204)
def delete_webhook_endpoint(endpoint_id: str, caller: Admin, services: InServices) -> None:
    """Delete an endpoint with its deliveries; those that are pending are not sent."""
    with services.sessions.begin() as session:
        service.delete_endpoint(session, caller.tenant_id, endpoint_id)


@router.post("/{endpoint_id}/rotate-secret", response_model=NewWebhookEndpointOut)
def rotate_webhook_secret(
    endpoint_id: str, post: AdminPost, services: InServices, body: SecretRotation | None = None
) -> Response:
    """Make a new signing secret. For a day, or for `overlap_s` seconds, deliveries carry a signature of each."""

    def rotate(session: Session) -> Answer:
        rotation = body or SecretRotation()
        row, secret = service.rotate_secret(session, post.tenant_id, endpoint_id, rotation, services.box)
        return _with_secret(row, secret, 200, {})

    return post.once(rotate)


@router.post("/{endpoint_id}/test", status_code=202, response_model=DeliveryOut)
def test_webhook_endpoint(endpoint_id: str, post: AdminPost) -> Response:
    """Send an event of type `webhook.test`, once. The delivery says what came of it."""

    def test(session: Session) -> Answer:
        row = service.test_endpoint(session, post.tenant_id, endpoint_id)
        return Answer(202, DeliveryOut.of(row), {"Location": f"/v1/deliveries/{row.id}"})

    return post.once(test)


def _policy(services: Services) -> TargetPolicy:
    return TargetPolicy(services.settings.webhook_allow_private)


def _with_secret(row: WebhookEndpoint, secret: str, status: int, headers: dict[str, str]) -> Answer:
    """Answer with the secret, and keep the answer for replays without it."""
    shown = NewWebhookEndpointOut.of(row)
    answer = shown.model_copy(update={"secret": secret})
    return Answer(status, answer, {**headers, "Cache-Control": "no-store"}, stored=shown)
