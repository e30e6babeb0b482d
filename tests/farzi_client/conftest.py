"""A client and a server that misbehaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from farzi_client import Client
from tests.farzi_client.blocking import connect
from tests.farzi_client.unruly_server import UnrulyServer, unruly_server

Connect = Callable[..., Client]


@pytest.fixture
def server() -> Iterator[UnrulyServer]:
    with unruly_server() as behaviour:
        yield behaviour


@pytest.fixture(params=["sync", "async"])
def connected(request: pytest.FixtureRequest, server: UnrulyServer) -> Iterator[Connect]:
    """Connect to the server with either of the two clients."""
    with ExitStack() as stack:

        def open_client(**options: Any) -> Client:
            return stack.enter_context(connect(request.param, "fz_test", options.pop("base_url", server.url), **options))

        yield open_client


@pytest.fixture
def client(connected: Connect) -> Client:
    return connected()
