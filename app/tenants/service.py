"""Who is calling, and the life of API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.db import new_id
from app.errors import FieldProblem, ServiceError
from app.tenants import repository
from app.tenants.audit import AuditAction, record
from app.tenants.keys import NUM_SHOWN_CHARACTERS, digest_key, is_mistyped, make_key
from app.tenants.models import ApiKey, Tenant
from app.tenants.schemas import ApiKeyCreate, Scope
from app.tenants.secret import ServiceSecrets

LAST_USED_RESOLUTION = timedelta(minutes=5)
CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True)
class Caller:
    """On whose behalf a request is made, and what its key may do."""

    tenant_id: str
    key_id: str
    scopes: frozenset[str]

    def has(self, scope: Scope) -> bool:
        """Whether the key has ``scope`` or admin."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise insufficient_scope unless the key has ``scope`` or admin."""
        if not self.has(scope):
            raise ServiceError("insufficient_scope", f"This needs scope {scope}; the key has {', '.join(sorted(self.scopes))}.")


class Authenticator:
    """Turns a bearer key into a caller. A key whose digest is of an earlier secret is taken, and gets a new digest."""

    def __init__(
        self, secrets: ServiceSecrets, reading_sessions: sessionmaker[Session], sessions: sessionmaker[Session]
    ) -> None:
        self._secrets = (secrets.current, *secrets.previous)
        self._reading_sessions = reading_sessions
        self._sessions = sessions

    def authenticate(self, authorization: str | None) -> Caller:
        """Return the caller that the header ``Authorization`` names, or raise one of the 401 errors."""
        key = _read_bearer(authorization)
        digests = [digest_key(key, secret) for secret in self._secrets]
        with self._reading_sessions() as session:
            row, now = repository.find_by_digest(session, digests)
        if row is None:
            reason = (
                "its checksum is wrong, so a character is missing or mistyped" if is_mistyped(key) else "it is not known here"
            )
            raise ServiceError("invalid_api_key", f"The API key was not accepted: {reason}.", headers=CHALLENGE)
        caller = self._use(row, now)
        if row.digest != digests[0]:
            with self._sessions.begin() as session:
                repository.replace_digest(session, row.id, digests[0])
        return caller

    def recognise(self, key_id: str) -> Caller:
        """Return the caller of a key that was shown before, or raise one of the 401 errors: it may have ended since."""
        with self._reading_sessions() as session:
            row, now = repository.find_by_id(session, key_id)
        if row is None:
            raise ServiceError("invalid_api_key", "The API key is not known any more.", headers=CHALLENGE)
        return self._use(row, now)

    def _use(self, row: ApiKey, now: datetime) -> Caller:
        _check_usable(row, now)
        if row.last_used_at is None or now - row.last_used_at >= LAST_USED_RESOLUTION:
            with self._sessions.begin() as session:
                repository.mark_used(session, row.id, now)
        return Caller(row.tenant_id, row.id, frozenset(row.scopes))


def create_key(session: Session, tenant_id: str, body: ApiKeyCreate, secret: bytes) -> tuple[ApiKey, str]:
    """Make a key; returns its row and the key itself, which is kept nowhere."""
    now = database_now(session)
    if body.expires_at is not None and body.expires_at <= now:
        problem = FieldProblem("/expires_at", f"{body.expires_at.isoformat()} is in the past; choose a later time or null")
        raise ServiceError("invalid_request", f"{problem.pointer}: {problem.detail}", problems=(problem,))
    key = make_key()
    row = _new_row(tenant_id, body.name, key=key, secret=secret, scopes=sorted(set(body.scopes)), now=now)
    row.expires_at = body.expires_at
    session.add(row)
    expires_at = None if body.expires_at is None else body.expires_at.isoformat()
    record(session, tenant_id, AuditAction.API_KEY_CREATED, row.id, scopes=row.scopes, expires_at=expires_at)
    session.flush()
    return row, key


def get_key(session: Session, tenant_id: str, key_id: str) -> ApiKey:
    row = repository.find_key(session, tenant_id, key_id)
    if row is None:
        raise ServiceError("api_key_not_found", "There is no API key of this id.")
    return row


def rename_key(session: Session, tenant_id: str, key_id: str, name: str) -> ApiKey:
    row = get_key(session, tenant_id, key_id)
    if row.name != name:
        record(session, tenant_id, AuditAction.API_KEY_RENAMED, row.id, before=row.name, after=name)
        row.name = name
    return row


def revoke_key(session: Session, tenant_id: str, key_id: str) -> None:
    """Revoke a key, unless nobody could make keys any more."""
    repository.lock_tenant(session, tenant_id)
    row = get_key(session, tenant_id, key_id)
    if row.revoked_at is not None:
        return
    now = database_now(session)
    others = [other for other in repository.list_usable_keys(session, tenant_id, now) if other.id != row.id]
    if Scope.ADMIN in row.scopes and not any(Scope.ADMIN in other.scopes for other in others):
        raise ServiceError("last_admin_key", "No other usable key has scope admin; create one before revoking this one.")
    row.revoked_at = now
    record(session, tenant_id, AuditAction.API_KEY_REVOKED, row.id)


def ensure_first_key(sessions: sessionmaker[Session], key: str | None, secret: bytes) -> bool:
    """Make ``key`` the first tenant's admin key if the database has none; return whether there is any key afterwards."""
    with sessions() as session:
        if repository.has_keys(session):
            return True
        if key is None:
            return False
        now = database_now(session)
        tenant = Tenant(id=new_id("tenant"), name="default", created_at=now)
        session.add(tenant)
        session.flush()
        row = _new_row(tenant.id, "bootstrap", key=key, secret=secret, scopes=[Scope.ADMIN], now=now)
        session.add(row)
        record(session, tenant.id, AuditAction.TENANT_CREATED, tenant.id, name=tenant.name)
        record(session, tenant.id, AuditAction.API_KEY_CREATED, row.id, scopes=row.scopes, expires_at=None)
        try:
            session.commit()
        except IntegrityError:  # another process started at the same moment and was first
            session.rollback()
    return True


def _new_row(tenant_id: str, name: str, *, key: str, secret: bytes, scopes: list[Scope], now: datetime) -> ApiKey:
    return ApiKey(
        id=new_id("key"),
        tenant_id=tenant_id,
        name=name,
        prefix=key[:NUM_SHOWN_CHARACTERS],
        digest=digest_key(key, secret),
        scopes=[str(scope) for scope in scopes],
        created_at=now.astimezone(UTC),
    )


def _read_bearer(authorization: str | None) -> str:
    if not authorization:
        raise ServiceError("missing_api_key", "Send an API key: 'Authorization: Bearer fz_...'.", headers=CHALLENGE)
    scheme, _, key = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ServiceError(
            "missing_api_key", "The header Authorization has another form than 'Bearer fz_...'.", headers=CHALLENGE
        )
    return key.strip()


def _check_usable(row: ApiKey, now: datetime) -> None:
    if row.revoked_at is not None:
        raise ServiceError("revoked_api_key", "The API key was revoked; use another one.", headers=CHALLENGE)
    if row.expires_at is not None and row.expires_at <= now:
        raise ServiceError("expired_api_key", "The API key has expired; use another one.", headers=CHALLENGE)
