"""The thread that sends what is due while the API runs. Several at once, in any number of processes, do no harm.

A delivery is claimed, sent without a connection to the database, and concluded. Sending has a pool of threads, of which one
endpoint, and one tenant, gets only a few: who answers slowly delays nobody else.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime

import structlog
from sqlalchemy.orm import Session, sessionmaker

from app.clock import database_now
from app.webhooks.claiming import ClaimedDelivery, DueDelivery, claim, find_due
from app.webhooks.outcomes import conclude, prune
from app.webhooks.sealing import SecretBox, UnreadableSecretError
from app.webhooks.sender import AttemptError, AttemptResult, Sender
from app.webhooks.signing import signed_headers

POLL_S = 0.5
LONGEST_WAIT_S = 10.0
PRUNE_INTERVAL_S = 3600.0
MAX_SENDING = 16
MAX_SENDING_OF_TENANT = 6
MAX_SENDING_TO_ENDPOINT = 2
MAX_CANDIDATES = 100

logger = structlog.get_logger(__name__)


class Dispatcher:
    """Sends deliveries of all tenants.

    Args:
        sessions: of the database.
        reading_sessions: the same, for looking.
        box: opens the endpoints' secrets.
        sender: does the sending.
        clock: what time it is.
    """

    def __init__(
        self,
        sessions: sessionmaker[Session],
        reading_sessions: sessionmaker[Session],
        box: SecretBox,
        sender: Sender,
        *,
        clock: Callable[[Session], datetime] = database_now,
    ) -> None:
        self._sessions = sessions
        self._reading_sessions = reading_sessions
        self._box = box
        self._sender = sender
        self._clock = clock
        self._lock = threading.Lock()
        self._sending_to: Counter[str] = Counter()
        self._sending_of: Counter[str] = Counter()
        self._wake = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Send until ``stop`` is set and ``wake`` was called; attempts that are on their way then are waited for."""
        prune_at, wait_s = time.monotonic(), POLL_S
        with ThreadPoolExecutor(MAX_SENDING, thread_name_prefix="webhook-sender") as pool:
            while not stop.is_set():
                self._wake.wait(wait_s)
                self._wake.clear()
                try:
                    if not stop.is_set():
                        for claimed in self.claim_due():
                            pool.submit(self.deliver, claimed)
                    if time.monotonic() >= prune_at:
                        prune_at = time.monotonic() + PRUNE_INTERVAL_S
                        self._prune()
                    wait_s = POLL_S
                except Exception as error:  # the database is away: what is due stays due
                    wait_s = min(2 * wait_s, LONGEST_WAIT_S)
                    logger.warning("webhooks wait", retry_in_s=wait_s, exc_info=error)

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def claim_due(self) -> list[ClaimedDelivery]:
        """Claim what is due, as far as there are threads to send it; each has to be handed to ``deliver``."""
        with self._reading_sessions() as session:
            due = self._find(session)
        if not due:
            return []
        with self._sessions.begin() as session:
            claimed = claim(session, [delivery.id for delivery in due], now=self._clock(session))
        with self._lock:
            self._sending_to.update(delivery.endpoint_id for delivery in claimed)
            self._sending_of.update(delivery.tenant_id for delivery in claimed)
        return claimed

    def deliver(self, claimed: ClaimedDelivery) -> None:
        """Send one delivery and write down what came of it."""
        try:
            result = self._attempt(claimed)
            with self._sessions.begin() as session:
                now = self._clock(session)
                conclude(session, claimed, result, now=now, spread=random.uniform(-1, 1))  # noqa: S311  no secret
            if result.error is not None:
                logger.info(
                    "a webhook failed", delivery_id=claimed.id, endpoint_id=claimed.endpoint_id, error_code=result.error.code
                )
        except Exception:  # nothing is lost: when the lease ends, the delivery is due again
            logger.exception("a webhook could not be concluded", delivery_id=claimed.id)
        finally:
            with self._lock:
                self._sending_to -= Counter((claimed.endpoint_id,))
                self._sending_of -= Counter((claimed.tenant_id,))
            self.wake()

    def _attempt(self, claimed: ClaimedDelivery) -> AttemptResult:
        try:
            return self._send(claimed)
        except Exception:  # counted as a failure, so that it waits longer each time
            logger.exception("sending a webhook failed here", delivery_id=claimed.id)
            return AttemptResult(0.0, AttemptError("internal", "the service failed before anything was sent"))

    def _send(self, claimed: ClaimedDelivery) -> AttemptResult:
        body = claimed.body.encode()
        try:
            secrets = [self._box.open(claimed.endpoint_id, sealed) for sealed in claimed.sealed_secrets]
        except UnreadableSecretError as error:
            return AttemptResult(0.0, AttemptError("secret_unreadable", str(error)))
        return self._sender.send(claimed.url, signed_headers(secrets, claimed.event_id, claimed.at, body), body)

    def _find(self, session: Session) -> Sequence[DueDelivery]:
        """Return what is due and has a place."""
        with self._lock:
            to, of = +self._sending_to, +self._sending_of
        num_free = MAX_SENDING - to.total()
        if num_free <= 0:
            return []
        candidates = find_due(
            session,
            now=self._clock(session),
            limit=MAX_CANDIDATES,
            per_endpoint=MAX_SENDING_TO_ENDPOINT,
            full_endpoints=[endpoint_id for endpoint_id, count in to.items() if count >= MAX_SENDING_TO_ENDPOINT],
            full_tenants=[tenant_id for tenant_id, count in of.items() if count >= MAX_SENDING_OF_TENANT],
        )
        chosen = []
        for candidate in candidates:
            if to[candidate.endpoint_id] < MAX_SENDING_TO_ENDPOINT and of[candidate.tenant_id] < MAX_SENDING_OF_TENANT:
                to[candidate.endpoint_id] += 1
                of[candidate.tenant_id] += 1
                chosen.append(candidate)
        return chosen[:num_free]

    def _prune(self) -> None:
        with self._sessions.begin() as session:
            prune(session, now=self._clock(session))


@contextmanager
def running_dispatcher(dispatcher: Dispatcher) -> Iterator[None]:
    """Dispatch until the block ends; it ends when the last attempt has, some fifteen seconds later at most."""
    stop = threading.Event()
    thread = threading.Thread(target=dispatcher.run, args=(stop,), name="webhook-dispatcher", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        dispatcher.wake()
        thread.join()
