"""``Idempotency-Key``: the answer to a POST is stored in the transaction that makes it true, and given again to a repeat.

Only successes are stored: an error has changed nothing, so that the request may be sent again with the same key.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from fastapi import Response
from pydantic import BaseModel
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.errors import ServiceError
from app.expiry import IDEMPOTENCY_KEPT_FOR
from app.jobs.models import IdempotencyRecord

HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True)
class Answer:
    """What a POST answers. ``stored`` stands in for a model that must not be kept, for the secret in it."""

    status: int
    model: BaseModel
    headers: dict[str, str] = field(default_factory=dict)
    stored: BaseModel | None = None


class KeysInFlight:
    """The keys whose requests this process is carrying out. Postgres knows those of other processes; SQLite has one process."""

    def __init__(self) -> None:
        self._keys: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, tenant_id: str, key: str) -> Iterator[None]:
        """Keep a key until the block ends, or refuse a second request that has it."""
        with self._lock:
            if (tenant_id, key) in self._keys:
                raise _in_flight(key)
            self._keys.add((tenant_id, key))
        try:
            yield
        finally:
            with self._lock:
                self._keys.remove((tenant_id, key))


@dataclass(frozen=True)
class Post:
    """One POST request of one tenant."""

    sessions: sessionmaker[Session]
    keys_in_flight: KeysInFlight
    tenant_id: str
    key: str | None
    fingerprint: str

    def once(self, action: Callable[[Session], Answer]) -> Response:
        """Carry out ``action`` in a transaction and answer, or answer as the first request with this key was answered."""
        held = nullcontext() if self.key is None else self.keys_in_flight.hold(self.tenant_id, self.key)
        with held, self.sessions.begin() as session:
            if self.key is None:
                answer = action(session)
            else:
                earlier = self._find_earlier(session, self.key)
                if earlier is not None:
                    return earlier
                answer = action(session)
                self._store(session, self.key, answer)
        return _render(answer.status, answer.model.model_dump_json(), answer.headers)

    def replay(self) -> Response | None:
        """Return the answer to the first request with this key, if there was one: for work that begins before ``once``."""
        if self.key is None:
            return None
        with self.sessions.begin() as session:
            return self._find_earlier(session, self.key)

    def _find_earlier(self, session: Session, key: str) -> Response | None:
        _lock_key(session, self.tenant_id, key)
        outdated = database_now(session) - IDEMPOTENCY_KEPT_FOR
        records = IdempotencyRecord.tenant_id == self.tenant_id
        session.execute(delete(IdempotencyRecord).where(records, IdempotencyRecord.created_at < outdated))
        record = session.get(IdempotencyRecord, (self.tenant_id, key))
        if record is None:
            return None
        if record.fingerprint != self.fingerprint:
            raise ServiceError(
                "idempotency_key_reused", f"{HEADER} {key!r} was sent with another request; send a new key with every request."
            )
        return _render(record.response_status, record.response_body, record.response_headers | {REPLAYED_HEADER: "true"})

    def _store(self, session: Session, key: str, answer: Answer) -> None:
        session.add(
            IdempotencyRecord(
                tenant_id=self.tenant_id,
                key=key,
                fingerprint=self.fingerprint,
                response_status=answer.status,
                response_headers=answer.headers,
                response_body=(answer.stored or answer.model).model_dump_json(),
                created_at=database_now(session),
            )
        )


def read_key(given: str | None) -> str | None:
    """Return the key that a request carries.

    Raises:
        ServiceError: invalid_idempotency_key.
    """
    if given is not None and not _KEY.fullmatch(given):
        raise ServiceError(
            "invalid_idempotency_key", f"{HEADER} has {len(given)} characters; send 1 to 255 of printable ASCII."
        )
    return given


def make_fingerprint(method: str, path: str, body: bytes) -> str:
    """Return what tells two requests apart."""
    return hashlib.sha256(b"\n".join((method.encode(), path.encode(), body))).hexdigest()


def _lock_key(session: Session, tenant_id: str, key: str) -> None:
    """Refuse a request whose key another process is carrying out; on SQLite, whose writers wait for each other, it waits."""
    if session.get_bind().dialect.name == "sqlite":
        return
    lock_id = func.hashtextextended(f"{tenant_id}\n{key}", 0)
    if not session.scalar(select(func.pg_try_advisory_xact_lock(lock_id))):
        raise _in_flight(key)


def _in_flight(key: str) -> ServiceError:
    message = f"A request with {HEADER} {key!r} is being carried out; repeat it a little later."
    return ServiceError("idempotency_key_in_flight", message)


def _render(status: int, body: str, headers: dict[str, str]) -> Response:
    return Response(body, status, headers, media_type="application/json")
