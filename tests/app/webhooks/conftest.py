"""A receiver, and a dispatcher whose clock the test turns, on Postgres and on SQLite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.orm import Session, sessionmaker

from tests.app.webhooks.dispatching import Dispatching
from tests.app.webhooks.receiver import Receiver, running_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def dispatching(session_factory: sessionmaker[Session], receiver: Receiver) -> Dispatching:
    """A tenant with one endpoint, which is ``receiver``."""
    return Dispatching(session_factory, receiver.url)
