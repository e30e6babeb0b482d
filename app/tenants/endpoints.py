"""``/v1/api-keys``."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy.orm import Session

from app.dependencies import Admin, AdminPost, AuthenticatedRoute, InServices
from app.idempotency import Answer
from app.pagination import PageQuery, make_page
from app.schemas import Page
from app.tenants import repository, service
from app.tenants.schemas import ApiKeyCreate, ApiKeyOut, ApiKeyUpdate, NewApiKeyOut

router = APIRouter(prefix="/v1/api-keys", tags=["API keys"], route_class=AuthenticatedRoute)


@router.post("", status_code=201, response_model=NewApiKeyOut)
def create_api_key(body: ApiKeyCreate, post: AdminPost, services: InServices) -> Response:
    """Make a key. Its secret is in this answer and nowhere else."""

    def create(session: Session) -> Answer:
        row, key = service.create_key(session, post.tenant_id, body, services.secret)
        shown = NewApiKeyOut.of(row)
        headers = {"Location": f"/v1/api-keys/{row.id}"}
        return Answer(201, shown.model_copy(update={"key": key}), headers, stored=shown)

    return post.once(create)


@router.get("")
def list_api_keys(page: Annotated[PageQuery, Query()], caller: Admin, services: InServices) -> Page[ApiKeyOut]:
    """List keys, newest first, revoked ones included."""
    with services.reading_sessions() as session:
        rows, has_more = repository.list_keys(session, caller.tenant_id, page)
    return make_page(rows, has_more, ApiKeyOut.of, lambda row: row.id)


@router.get("/{key_id}")
def get_api_key(key_id: str, caller: Admin, services: InServices) -> ApiKeyOut:
    """Return one key, without its secret."""
    with services.reading_sessions() as session:
        return ApiKeyOut.of(service.get_key(session, caller.tenant_id, key_id))


@router.patch("/{key_id}")
def update_api_key(key_id: str, body: ApiKeyUpdate, caller: Admin, services: InServices) -> ApiKeyOut:
    """Rename a key."""
    with services.sessions.begin() as session:
        return ApiKeyOut.of(service.rename_key(session, caller.tenant_id, key_id, body.name))


@router.delete("/{key_id}", status_code=204)
def revoke_api_key(key_id: str, caller: Admin, services: InServices) -> None:
    """Revoke a key: it stops working at once. The last admin key cannot be revoked."""
    with services.sessions.begin() as session:
        service.revoke_key(session, caller.tenant_id, key_id)
