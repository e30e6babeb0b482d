"""Every fault there is, with how often it is injected at least, and the service it is injected into."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chaos.cluster import Cluster, running_server_cluster
from tests.chaos.faults import message_storms, run_kills, stale_writers, worker_kills
from tests.chaos.outcome import Outcome

# A job is killed as often as chance has it; how many losses fail one is tested elsewhere.
PATIENT = {"max_runs": 10_000}


@dataclass(frozen=True)
class Fault:
    """One row of the table in docs/reliability.md."""

    name: str
    what: str
    count: int
    inject: Callable[[Cluster, int, Random], Outcome]
    cluster: Callable[..., AbstractContextManager[Cluster]] = running_server_cluster
    settings: dict[str, Any] = field(default_factory=dict)


_ALL = (
    Fault("run-kills", "SIGKILL of the run at a random moment", 300, run_kills.inject, settings=PATIENT),
    Fault(
        "worker-kills",
        "SIGKILL of the worker, at the settings it is shipped with",
        100,
        worker_kills.inject,
        settings=PATIENT | worker_kills.SETTINGS,
    ),
    Fault(
        "stale-writers",
        "SIGSTOP past the lease, another run ends the job, SIGCONT",
        100,
        stale_writers.inject,
        settings=PATIENT | stale_writers.SETTINGS,
    ),
    Fault("message-storms", "the same message 2 to 10 times, to 8 workers", 500, message_storms.inject),
)
FAULTS = {fault.name: fault for fault in _ALL}
