"""What tests of several files of this folder are given."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from tests.chaos.proxy import FaultProxy


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[FaultProxy]:
    """The way to the database."""
    proxy = FaultProxy(f"{make_url(postgres_url).query['host']}/.s.PGSQL.5432")
    yield proxy
    proxy.close()
