"""The life of a job as docs/operations.md promises it: plain values, no database, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_RUNS = 3
MAX_STORAGE_FAILURES = 10
LEASED = {"running", "cancelling"}


class RefusedError(Exception):
    """The job's status does not allow it."""


@dataclass
class ModelJob:
    """One job.

    Attributes:
        token: number of the newest run.
        lease_ran_out: whether a leased job may be taken from its run.
        waits: whether a queued job may not be claimed yet.
        outcomes: of each run; None is under way.
    """

    status: str = "queued"
    token: int = 0
    lease_ran_out: bool = False
    waits: bool = False
    stop: str | None = None
    num_lost: int = 0
    published_by: int | None = None
    events: list[str] = field(default_factory=lambda: ["job.queued"])
    outcomes: list[str | None] = field(default_factory=list)

    def holds(self, token: int) -> bool:
        return self.status in LEASED and token == self.token

    def claim(self) -> int | None:
        """Return the new run's token, if the job is to be had."""
        self.reap()
        if self.status != "queued" or self.waits:
            return None
        self.status, self.token, self.lease_ran_out = "running", self.token + 1, False
        self.outcomes.append(None)
        self.events.append("job.started")
        return self.token

    def reap(self) -> None:
        if self.status in LEASED and self.lease_ran_out:
            self.lose()

    def succeed(self) -> None:
        self.published_by = self.token
        self._end("succeeded", "succeeded", "job.succeeded")

    def fail(self) -> None:
        self._end("failed", "failed", "job.failed")

    def release(self) -> None:
        if not self._carry_out_stop():
            self._end("queued", "released", "run.released")

    def lose(self) -> None:
        self.events.append("run.lost")
        if self._carry_out_stop():
            return
        self.num_lost += 1
        if self.num_lost < MAX_RUNS:
            self._end("queued", "lost")
        else:
            self._end("failed", "lost", "job.failed")

    def retry_later(self) -> None:
        if self._carry_out_stop():
            return
        self.num_lost += 1
        if self.num_lost < MAX_RUNS:
            self._end("queued", "failed", "job.retried")
            self.waits = True
        else:
            self.fail()

    def wait_for_storage(self) -> None:
        if self._carry_out_stop():
            return
        before = self.outcomes[:-1]
        in_a_row = next((n for n, outcome in enumerate(reversed(before)) if outcome != "failed"), len(before))
        if in_a_row + 1 < MAX_STORAGE_FAILURES:
            self._end("queued", "failed", "job.retried")
            self.waits = True
        else:
            self.fail()

    def cancel(self) -> None:
        if self.status in {"queued", "paused"}:
            self.status = "cancelled"
            self.events.append("job.cancelled")
        elif self.status == "running":
            self.status, self.stop = "cancelling", "cancel"
            self.events.append("job.cancelling")
        elif self.status not in {"cancelling", "cancelled"}:
            raise RefusedError

    def pause(self) -> None:
        if self.status == "queued":
            self.status = "paused"
            self.events.append("job.paused")
        elif self.status == "running":
            self.stop = "pause"
        elif self.status != "paused":
            raise RefusedError

    def resume(self) -> None:
        if self.status == "paused":
            self.status = "queued"
            self.events.append("job.resumed")
        elif self.status == "running":
            self.stop = None
        elif self.status != "queued":
            raise RefusedError

    def retry(self) -> None:
        if self.status in {"failed", "cancelled"}:
            self.status, self.num_lost, self.waits = "queued", 0, False
            self.events.append("job.retried")
        elif self.status not in {"queued", "running"}:
            raise RefusedError

    def _carry_out_stop(self) -> bool:
        if self.status == "cancelling":
            self._end("cancelled", "cancelled", "job.cancelled")
        elif self.stop == "pause":
            self._end("paused", "paused", "job.paused")
        else:
            return False
        return True

    def _end(self, status: str, outcome: str, event: str | None = None) -> None:
        self.status, self.stop, self.lease_ran_out = status, None, False
        self.outcomes[-1] = outcome
        if event is not None:
            self.events.append(event)
