"""The way of a job through its states as its events tell it; an automaton of its own, so that it can contradict the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

START = "unborn"
# event -> {status before: status after}; other events change nothing, and need a job that has begun.
MOVES: dict[str, dict[str, str]] = {
    "job.queued": {START: "queued"},
    "job.started": {"queued": "running"},
    "job.paused": {"queued": "paused", "running": "paused", "lost": "paused"},
    "job.resumed": {"paused": "queued"},
    "job.cancelling": {"running": "cancelling"},
    "job.cancelled": {"queued": "cancelled", "paused": "cancelled", "cancelling": "cancelled", "lost": "cancelled"},
    "job.succeeded": {"running": "succeeded", "cancelling": "succeeded"},
    "job.failed": {"running": "failed", "cancelling": "failed", "lost": "failed"},
    "run.released": {"running": "queued"},
    # A lost run says no more; what becomes of the job is told by the next event, or it is queued.
    "run.lost": {"running": "lost", "cancelling": "lost"},
}
RETRIED_BY_USER = {"failed": "queued", "cancelled": "queued"}
RETRIED_BY_SERVICE = {"running": "queued"}


def follow(events: list[dict[str, Any]], status: str) -> Iterator[str]:
    """Walk along the events; yield a sentence for each step that is not allowed, and for an end that is not ``status``."""
    at = START
    for event in events:
        moves = MOVES.get(event["type"])
        if event["type"] == "job.retried":
            moves = RETRIED_BY_SERVICE if "code" in event["data"] else RETRIED_BY_USER
        if moves is None:
            if at not in {"running", "cancelling"}:
                yield f"{event['type']} (seq {event['seq']}) of a job that is {at}"
            continue
        before = "queued" if at == "lost" and event["type"] == "job.started" else at
        if before not in moves:
            yield f"{event['type']} (seq {event['seq']}) of a job that is {before}"
        at = moves.get(before, next(iter(moves.values())))
    ended = "queued" if at == "lost" else at
    if ended != status:
        yield f"its events end at {ended}, its row says {status}"
