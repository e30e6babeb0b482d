"""Every fault there is, with how often it is injected at least, and the service it is injected into."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.chaos.cluster import Cluster, running_embedded_cluster, running_server_cluster
from tests.chaos.faults import (
    api_kills,
    cancel_races,
    damaged_checkpoints,
    fair_share,
    message_storms,
    postgres_losses,
    redis_losses,
    run_kills,
    silences,
    stale_writers,
    store_faults,
    worker_kills,
)
from tests.chaos.outcome import Goal, Outcome

# A job is killed as often as chance has it; how many losses fail one is tested elsewhere.
PATIENT = {"max_runs": 10_000}


@dataclass(frozen=True)
class Fault:
    """One row of the table in docs/reliability.md.

    ``also`` names another whose fault its jobs meet too. Recoveries before ``recovers_since``, a time of the log, are those of
    a service that recovered in another way, and count no more.
    """

    name: str
    what: str
    count: int
    inject: Callable[[Cluster, Goal, Random], Outcome]
    cluster: Callable[..., AbstractContextManager[Cluster]] = running_server_cluster
    settings: dict[str, Any] = field(default_factory=dict)
    also: str | None = None
    recovers_since: str = ""


_ALL = (
    Fault("run-kills", "SIGKILL of the run at a random moment", 300, run_kills.inject, settings=PATIENT),
    Fault(
        "worker-kills",
        "SIGKILL of the worker, at the settings it is shipped with",
        100,
        worker_kills.inject,
        settings=PATIENT | worker_kills.SETTINGS,
        recovers_since="2026-11-26T11:29:10",  # workers see by its lock that a neighbour is gone
    ),
    Fault(
        "machine-losses",
        "SIGKILL of a worker whose lock no other can see, at the settings it is shipped with",
        30,
        worker_kills.lose_machines,
        settings=PATIENT | worker_kills.SETTINGS,
    ),
    Fault(
        "stale-writers",
        "SIGSTOP past the lease, another run ends the job, SIGCONT",
        100,
        stale_writers.inject,
        settings=PATIENT | stale_writers.SETTINGS,
    ),
    Fault(
        "message-storms",
        "the same message 2 to 10 times, to 8 workers",
        500,
        message_storms.inject,
        settings=message_storms.SETTINGS,
    ),
    Fault("cancel-races", "cancel racing with the end", 300, cancel_races.inject),
    Fault(
        "damaged-checkpoints",
        "a checkpoint truncated, with a bit flipped, or gone",
        20,
        damaged_checkpoints.inject,
        settings=damaged_checkpoints.SETTINGS,
    ),
    Fault("redis-flushes", "Redis flushed", 20, redis_losses.flush),
    Fault("redis-restarts", "Redis killed and started empty", 20, redis_losses.restart_empty),
    Fault("redis-away", "Redis away for 60 s", 20, redis_losses.stay_away),
    Fault(
        "postgres-restarts",
        "Postgres crashed and restarted",
        20,
        postgres_losses.restart,
        settings=PATIENT | postgres_losses.SETTINGS,
    ),
    Fault(
        "postgres-away",
        "Postgres away for 90 s, at the settings the service is shipped with",
        10,
        postgres_losses.stay_away,
        settings=postgres_losses.AWAY_SETTINGS,
    ),
    Fault("postgres-silences", "Postgres answers nothing for 2 to 60 s", 10, silences.of_database, settings=PATIENT),
    Fault("redis-silences", "Redis answers nothing for 2 to 60 s", 10, silences.of_broker, settings=PATIENT),
    Fault("store-silences", "S3 answers nothing for 2 to 60 s", 10, silences.of_store, settings=PATIENT),
    Fault(
        "cut-commits",
        "connection to Postgres cut in mid-commit, before and after it (as often each)",
        20,
        postgres_losses.cut_commits,
        settings=PATIENT | postgres_losses.SETTINGS,
    ),
    Fault("store-errors", "S3 answers 503 to 5 to 20 % of requests", 100, store_faults.errors),
    Fault("store-latency", "S3 takes 2 s for each request", 100, store_faults.latency),
    Fault("store-resets", "S3 connection reset in the middle of a body", 100, store_faults.resets),
    Fault("api-kills", "SIGKILL and restart of the API during submit, upload and stream", 100, api_kills.api),
    Fault(
        "embedded-kills",
        "SIGKILL and restart of an embedded service, everything at once",
        50,
        api_kills.embedded,
        running_embedded_cluster,
        settings=PATIENT,
    ),
    Fault(
        "fair-share",
        "8 workers, 500 short jobs of 4 tenants, most of one, with a storm of messages",
        500,
        fair_share.inject,
        settings=message_storms.SETTINGS,
        also="message-storms",
    ),
)
FAULTS = {fault.name: fault for fault in _ALL}
