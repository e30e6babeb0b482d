"""``/v1/deliveries``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from app.dependencies import Admin, AdminPost, AuthenticatedRoute, InServices
from app.idempotency import Answer
from app.pagination import make_page
from app.schemas import Page
from app.webhooks import repository, service
from app.webhooks.schemas import DeliveryDetailOut, DeliveryOut, DeliveryQuery

router = APIRouter(prefix="/v1/deliveries", tags=["Webhooks"], route_class=AuthenticatedRoute)


@router.get("")
def list_deliveries(query: Annotated[DeliveryQuery, Query()], caller: Admin, services: InServices) -> Page[DeliveryOut]:
    """List deliveries of the last 30 days, newest first; filter by endpoint, status, type of event or event."""
    with services.reading_sessions() as session:
        rows, has_more = repository.list_deliveries(session, caller.tenant_id, query)
    return make_page(rows, has_more, DeliveryOut.of, lambda row: row.id)


@router.get("/{delivery_id}")
def get_delivery(delivery_id: str, caller: Admin, services: InServices) -> DeliveryDetailOut:
    """Return one delivery with every attempt: time, duration, status and the beginning of the answer, or what went wrong."""
    with services.reading_sessions() as session:
        row = service.get_delivery(session, caller.tenant_id, delivery_id)
        return DeliveryDetailOut.with_attempts(row, repository.list_attempts(session, row.id))


@router.post("/{delivery_id}/replay", status_code=202, response_model=DeliveryOut)
def replay_delivery(delivery_id: str, post: AdminPost) -> Response:
    """Send an event again, under the same `webhook-id`. A pending delivery is brought forward; else there is a new one."""

    def replay(session: Session) -> Answer:
        row = service.replay_delivery(session, post.tenant_id, delivery_id)
        return Answer(202, DeliveryOut.of(row), {"Location": f"/v1/deliveries/{row.id}"})

    return post.once(replay)
