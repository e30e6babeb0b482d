"""What only the operator may do, at a command line of the service's machine: make tenants, set their quotas, open a door again.

No key of the API reaches over its own tenant, so these acts have no path; whoever can read the database's URL may do them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.clock import database_now
from app.db import make_engine, make_session_factory, new_id
from app.migrate import prepare
from app.settings import Settings, load_settings
from app.tenants.audit import AuditAction, record
from app.tenants.models import Tenant
from app.tenants.quotas import QUOTA_NAMES, QuotaGuard
from app.tenants.schemas import ApiKeyCreate, Scope
from app.tenants.secret import load_secret
from app.tenants.service import create_key


class OperatorError(Exception):
    """The operator asked for something that cannot be; the message says what to change."""


@dataclass(frozen=True)
class Operator:
    """One session of the operator on the database of the environment's settings; committed at the end of its block."""

    settings: Settings
    session: Session

    def create_tenant(self, name: str) -> dict[str, Any]:
        """Make a tenant and its first admin key, which is in the answer and nowhere else.

        Raises:
            OperatorError: a tenant of this name exists; two would be mixed up.
        """
        if self.session.scalar(select(Tenant.id).where(Tenant.name == name)):
            raise OperatorError(f"There is a tenant of the name {name!r} already; choose another name.")
        tenant = Tenant(id=new_id("tenant"), name=name, created_at=database_now(self.session))
        self.session.add(tenant)
        self.session.flush()
        record(self.session, tenant.id, AuditAction.TENANT_CREATED, tenant.id, name=name)
        return self.describe(tenant) | {"key": self.create_key(tenant.id, "first", [Scope.ADMIN], None)["key"]}

    def create_key(self, tenant: str, name: str, scopes: list[str], expires_at: datetime | None) -> dict[str, Any]:
        """Make a key of a tenant.

        Raises:
            OperatorError: there is no such tenant or scope.
            ServiceError: the expiry is in the past.
        """
        if unknown := sorted(set(scopes) - set(Scope)):
            raise OperatorError(f"There is no scope {', '.join(unknown)}; there are {', '.join(Scope)}.")
        body = ApiKeyCreate.model_validate({"name": name, "scopes": scopes, "expires_at": expires_at})
        row, key = create_key(self.session, self.find(tenant).id, body, load_secret(self.settings))
        return {"id": row.id, "tenant_id": row.tenant_id, "name": row.name, "scopes": row.scopes, "key": key}

    def set_quotas(self, name: str, changes: dict[str, int | None]) -> dict[str, Any]:
        """Set limits of a tenant; None gives back the settings' one."""
        tenant = self.find(name)
        before = {quota: getattr(tenant, f"quota_{quota}") for quota in changes}
        for quota, limit in changes.items():
            setattr(tenant, f"quota_{quota}", limit)
        if before != changes:
            record(self.session, tenant.id, AuditAction.QUOTA_CHANGED, tenant.id, before=before, after=changes)
        return self.describe(tenant)

    def list_tenants(self) -> list[dict[str, Any]]:
        return [self.describe(tenant) for tenant in self.session.scalars(select(Tenant).order_by(Tenant.id))]

    def describe(self, tenant: Tenant) -> dict[str, Any]:
        self.session.flush()
        limits = asdict(QuotaGuard(self.settings).limits_of(self.session, tenant.id))
        own = [quota for quota in QUOTA_NAMES if getattr(tenant, f"quota_{quota}") is not None]
        created_at = tenant.created_at.isoformat()
        return {"id": tenant.id, "name": tenant.name, "created_at": created_at, "limits": limits, "own_limits": own}

    def find(self, name: str) -> Tenant:
        """Return the tenant of this id or name.

        Raises:
            OperatorError: there is none, or several have the name.
        """
        found = self.session.scalars(select(Tenant).where(or_(Tenant.id == name, Tenant.name == name)).with_for_update()).all()
        if not found:
            raise OperatorError(f"There is no tenant {name!r}; 'farzi tenants list' has them all.")
        if len(found) > 1:
            raise OperatorError(f"{len(found)} tenants have the name {name!r}; give an id: {', '.join(t.id for t in found)}.")
        return found[0]


@contextmanager
def operating() -> Iterator[Operator]:
    """Work on the database of the environment's settings.

    Raises:
        SettingsError: the environment does not describe a service.
        DatabaseError: its database cannot be used as it is.
    """
    settings = load_settings()
    prepare(settings)
    engine = make_engine(settings)
    try:
        with make_session_factory(engine).begin() as session:
            yield Operator(settings, session)
    finally:
        engine.dispose()
