"""A few faults of each kind, on the servers of the test session: the long form is ``make chaos``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.chaos.cluster import Cluster, Parts, make_proxies, running_embedded_cluster
from tests.chaos.outcome import Goal
from tests.chaos.table import FAULTS

pytestmark = pytest.mark.service


@pytest.fixture
def parts(postgres_url: str, redis_url: str, s3_settings: dict[str, str]) -> Iterator[Parts]:
    given: dict[str, Any] = {"database_url": postgres_url, "broker_url": redis_url, **s3_settings}
    parts = Parts(given, proxies=make_proxies(given, seed=0))
    yield parts
    for proxy in parts.proxies.values():
        proxy.close()


@pytest.mark.parametrize(
    ("name", "count"),
    [("run-kills", 2), ("stale-writers", 1), ("message-storms", 3), ("cut-commits", 1)],
)
def test_no_promise_is_broken(name: str, count: int, parts: Parts, tmp_path: Path) -> None:
    fault = FAULTS[name]
    cluster = Cluster(tmp_path, parts, **fault.settings)
    try:
        outcome = fault.inject(cluster, Goal(count), Random(0))
    finally:
        cluster.close()
    assert outcome.violations == []
    assert outcome.injected >= count


def test_no_promise_of_an_embedded_service_is_broken(tmp_path: Path) -> None:
    fault = FAULTS["embedded-kills"]
    with running_embedded_cluster(tmp_path, **fault.settings) as cluster:
        outcome = fault.inject(cluster, Goal(1), Random(0))
    assert outcome.violations == []
    assert (outcome.injected, outcome.counts["whole trees"]) == (1, 1)
