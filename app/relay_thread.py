"""The thread that passes the outbox on to the broker while the API runs. Workers do the same; several at once do no harm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.orm import Session, sessionmaker

from app.jobs.outbox import relay
from app.queue import make_sender, make_sending_celery

POLL_S = 0.5
LONGEST_WAIT_S = 10.0
STOP_TIMEOUT_S = 10.0

logger = structlog.get_logger(__name__)


@contextmanager
def running_relay(sessions: sessionmaker[Session], broker_url: str) -> Iterator[None]:
    """Relay until the block ends."""
    celery = make_sending_celery(broker_url)
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(sessions, make_sender(celery), stop), name="outbox-relay", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(STOP_TIMEOUT_S)
        celery.close()


def _run(sessions: sessionmaker[Session], send: Callable[[str, str], None], stop: threading.Event) -> None:
    wait_s = POLL_S
    while not stop.wait(wait_s):
        try:
            relay(sessions, send)
            wait_s = POLL_S
        except Exception as error:  # broker or database are away: what is in the outbox stays there
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            logger.warning("the outbox waits", retry_in_s=wait_s, exc_info=error)
