"""A client and a server that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from farzi_client import Client
from tests.farzi_client.unruly_server import UnrulyServer, unruly_server


@pytest.fixture
def server() -> Iterator[UnrulyServer]:
    with unruly_server() as behaviour:
        yield behaviour


@pytest.fixture
def client(server: UnrulyServer) -> Iterator[Client]:
    with Client("fz_test", base_url=server.url) as connected:
        yield connected
