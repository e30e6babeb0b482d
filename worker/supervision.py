"""Watch one run: keep its lease, carry requests to it, and write down how it ended if it could not do so itself."""

from __future__ import annotations

import logging
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime
from enum import StrEnum

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from tenacity import Retrying

from app.clock import database_now
from app.db import OUTAGE_PATIENCE_S, attempts_while_away, new_id
from app.jobs import endings
from app.jobs.events import EventType, append_event
from app.jobs.leases import Lease, LeaseLostError, LeaseState, claim, heartbeat, lock_held, look, next_queued, take_up
from app.jobs.models import Job, Run
from app.jobs.states import JobErrorCode, JobKind, JobStatus, RunOutcome, StopRequest
from app.request_context import current_request, within_request
from app.settings import Settings
from app.tracing import span
from worker.limits import describe_limits
from worker.log_tail import clean_tail
from worker.process import ExitCode, RunProcess

logger = logging.getLogger(__name__)

TICK_S = 0.1
LEAVE_S = 3.0
# Of a service manager that signals every process of a worker, the run may be hit first.
SHUTDOWN_MOMENT_S = 2.0
FIRST_START_WAIT_S = 5.0
LONGEST_START_WAIT_S = 300.0
RUN_MODULE = "worker.run"
TRACEPARENT_VARIABLE = "TRACEPARENT"
# Signals a process gets for what it did, not from outside: the same file ends the next run in the same way.
SELF_INFLICTED = {-signal.SIGXCPU, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE}


class StopReason(StrEnum):
    """Why the supervisor ended a run."""

    CANCEL = "cancel"
    PAUSE = "pause"
    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"
    LEASE_LOST = "lease_lost"
    SILENT = "silent"


class Supervisor:
    """Runs jobs one after the other; ``worker`` is the name that the run's record carries."""

    def __init__(
        self, settings: Settings, session_factory: sessionmaker[Session], worker: str, shutdown: threading.Event
    ) -> None:
        self._settings = settings
        self._session_factory = session_factory
        self._worker = worker
        self._shutdown = shutdown
        self._start_wait_s = FIRST_START_WAIT_S

    def answer_doorbell(self, job_id: str) -> bool:
        """Run one job that waits in the queue of this one, whose turn it may not be; return whether there was any.

        As many jobs are run as messages came, but in an order that is fair to the tenants.
        """
        while (chosen := self._next_beside(job_id)) is not None:
            if self.run_job(chosen):
                return True
        # Nothing waits; but the lease of the named one may have run out, and nobody queued it again yet.
        return self.run_job(job_id)

    def _next_beside(self, job_id: str) -> str | None:
        for attempt in self._attempts():
            with attempt, self._session_factory.begin() as session:
                queue = session.scalar(select(Job.queue).where(Job.id == job_id))
                chosen = None if queue is None else next_queued(session, queue)
        return chosen

    def run_job(self, job_id: str) -> bool:
        """Claim the job and see one run of it through; return whether it was to be had."""
        claimed = self._claim(job_id)
        if claimed is None:
            return False
        lease, job = claimed
        ids = {"job_id": job_id, "run": lease.token}
        with (
            within_request(job.request_id, job.traceparent),
            structlog.contextvars.bound_contextvars(**ids),
            span(f"run {job.kind}", "consumer") as notes,
        ):
            notes.add(farzi_job_id=job_id, farzi_run=lease.token, farzi_request_id=job.request_id or "")
            self._run(lease)
        return True

    def _claim(self, job_id: str) -> tuple[Lease, Job] | None:
        """Claim the job. A claim that was committed, but whose answer was lost, is found again by the id of its run."""
        tried: list[str] = []
        for attempt in self._attempts():
            with attempt, self._session_factory.begin() as session:
                tried.append(new_id("run"))
                lease_s, max_runs = self._settings.lease_s, self._settings.max_runs
                lease = claim(session, job_id, self._worker, lease_s=lease_s, max_runs=max_runs, run_id=tried[-1])
                if lease is None and len(tried) > 1:
                    lease = take_up(session, tried, lease_s=lease_s)
                job = session.get_one(Job, job_id) if lease is not None else None
        return None if lease is None or job is None else (lease, job)

    def _attempts(self) -> Retrying:
        """Attempts at a transaction that no run depends on yet: a worker without a database has nothing else to do."""
        return attempts_while_away(OUTAGE_PATIENCE_S, until=self._shutdown)

    def _run(self, lease: Lease) -> None:
        logger.info("run %s of %s begins", lease.token, lease.job_id)
        with ExitStack() as stack:
            try:
                process = self._start(lease, stack)
            except (OSError, RuntimeError):  # no room on the disk, no more processes, no more threads
                logger.exception("run %s of %s could not be started", lease.token, lease.job_id)
                self._give_back(lease)
                return
            self._start_wait_s = FIRST_START_WAIT_S
            exit_code, reason = self._watch(process, lease)
        logger.info("run %s of %s ended: exit code %s, %s", lease.token, lease.job_id, exit_code, reason or "by itself")
        self._conclude(lease, exit_code, reason, process.tail)

    def _start(self, lease: Lease, stack: ExitStack) -> RunProcess:
        # The scratch space is the supervisor's to remove: a killed run cannot.
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="farzi-run-"))
        environment = {"TMPDIR": scratch, TRACEPARENT_VARIABLE: current_request().traceparent or ""}
        process = RunProcess(["-m", RUN_MODULE, lease.job_id, str(lease.token)], environment)
        stack.callback(process.close)
        return process

    def _give_back(self, lease: Lease) -> None:
        """Let another worker have the job, and take none for a while: this machine cannot run one."""
        for attempt in self._last_attempts():
            with attempt, self._session_factory.begin() as session, suppress(LeaseLostError):
                endings.release(session, lock_held(session, lease), at=database_now(session))
        self._shutdown_comes_within(self._start_wait_s)
        self._start_wait_s = min(2 * self._start_wait_s, LONGEST_START_WAIT_S)

    def _shutdown_comes_within(self, seconds: float) -> bool:
        """Wait for the shutdown, but not for its event: a signal's handler may set that in this very thread."""
        give_up_at = time.monotonic() + seconds
        while not self._shutdown.is_set() and time.monotonic() < give_up_at:
            time.sleep(TICK_S)
        return self._shutdown.is_set()

    def _watch(self, process: RunProcess, lease: Lease) -> tuple[int, StopReason | None]:
        heartbeat_at = time.monotonic() + self._settings.heartbeat_s
        look_at = time.monotonic() + self._settings.control_poll_s
        while (exit_code := process.wait(TICK_S)) is None:
            now = time.monotonic()
            reason: StopReason | None = StopReason.SHUTDOWN if self._shutdown.is_set() else None
            if reason is None and process.silent_s > self._settings.run_silence_s:
                reason = StopReason.SILENT
            elif reason is None and now >= heartbeat_at:
                heartbeat_at = now + self._settings.heartbeat_s
                reason = self._ask(lambda session: heartbeat(session, lease, lease_s=self._settings.lease_s))
            elif reason is None and now >= look_at:
                look_at = now + self._settings.control_poll_s
                reason = self._ask(lambda session: look(session, lease))
            if reason is not None:
                return self._stop(process, lease, reason), reason
        return exit_code, None

    def _ask(self, question: Callable[[Session], LeaseState]) -> StopReason | None:
        try:
            with self._session_factory.begin() as session:
                state = question(session)
        except LeaseLostError:
            return StopReason.LEASE_LOST
        except SQLAlchemyError:
            # The run goes on meanwhile: it may end well before the lease does, and after that the fence decides.
            logger.warning("the database does not answer", exc_info=True)
            return None
        if state.stop_requested is not None:
            return StopReason.CANCEL if state.stop_requested == StopRequest.CANCEL else StopReason.PAUSE
        return StopReason.DEADLINE if state.deadline_passed else None

    def _stop(self, process: RunProcess, lease: Lease, reason: StopReason) -> int:
        """Give the run its time for a checkpoint, with the lease kept, then end it."""
        if reason is StopReason.LEASE_LOST:
            # A run that has just reported its end has no lease either; it still removes its checkpoints and notes what it took.
            return process.end(self._settings.stop_grace_s if self._has_reported(lease) else LEAVE_S)
        if reason is StopReason.SILENT:
            return process.end(0.0)
        process.signal_group(signal.SIGTERM)
        kill_at = time.monotonic() + self._settings.stop_grace_s
        heartbeat_at = 0.0
        while (exit_code := process.wait(TICK_S)) is None:
            if time.monotonic() >= kill_at:
                return process.end(0.0)
            if time.monotonic() >= heartbeat_at:
                heartbeat_at = time.monotonic() + self._settings.heartbeat_s
                self._ask(lambda session: heartbeat(session, lease, lease_s=self._settings.lease_s))
        return exit_code

    def _has_reported(self, lease: Lease) -> bool:
        """Whether the run itself has written down how it ended; while the database does not answer, it may have."""
        ended = select(Run.outcome).where(Run.job_id == lease.job_id, Run.number == lease.token)
        try:
            with self._session_factory.begin() as session:
                return session.scalar(ended) in {RunOutcome.SUCCEEDED, RunOutcome.FAILED}
        except SQLAlchemyError:
            logger.warning("the database does not answer", exc_info=True)
            return True

    def _conclude(self, lease: Lease, exit_code: int, reason: StopReason | None, tail: list[str]) -> None:
        """Write the end of a run that did not report it. Here at last the lease decides: a run that did has lost it."""
        hit_first = reason is None and exit_code == -signal.SIGTERM and self._shutdown_comes_within(SHUTDOWN_MOMENT_S)
        if hit_first:
            reason = StopReason.SHUTDOWN
        for attempt in self._last_attempts():
            with attempt, self._session_factory.begin() as session:
                try:
                    job = lock_held(session, lease)
                except LeaseLostError:
                    return
                now = database_now(session)
                unasked = reason in {None, StopReason.SILENT} and exit_code != ExitCode.STOPPED
                if (unasked or reason is StopReason.DEADLINE) and (lines := clean_tail(tail)):
                    append_event(session, job.id, EventType.LOG_TAIL, {"number": lease.token, "lines": lines}, at=now)
                if reason is StopReason.SILENT:
                    said = "its process gave no sign of life, or made no step, for too long and was killed"
                    endings.lose(session, job, said, max_runs=self._settings.max_runs, at=now)
                elif reason is None:
                    self._conclude_own_end(session, job, exit_code, now)
                else:
                    _carry_out(session, job, reason, now)

    def _last_attempts(self) -> Retrying:
        """Attempts to write down how a run ended; a supervisor that is told to stop makes none for longer than a lease."""
        if self._shutdown.is_set():
            return attempts_while_away(self._settings.lease_s)
        return attempts_while_away(OUTAGE_PATIENCE_S, until=self._shutdown)

    def _conclude_own_end(self, session: Session, job: Job, exit_code: int, now: datetime) -> None:
        max_runs = self._settings.max_runs
        if exit_code == ExitCode.STOPPED:
            endings.release(session, job, at=now)
        elif exit_code == ExitCode.INTERNAL_ERROR:
            message = "An error of the service itself ended the run; the last lines of its log are among the job's events."
            endings.retry_later(session, job, JobErrorCode.INTERNAL, message, max_runs=max_runs, at=now)
        elif exit_code == ExitCode.STORAGE_UNAVAILABLE:
            endings.wait_for_storage(session, job, at=now)
        elif job.kind == JobKind.VALIDATION and exit_code in SELF_INFLICTED:
            endings.fail(session, job, JobErrorCode.VALIDATION_LIMIT, describe_limits(self._settings), retryable=False, at=now)
        else:
            endings.lose(session, job, _describe_exit(exit_code), max_runs=max_runs, at=now)


def _carry_out(session: Session, job: Job, reason: StopReason, now: datetime) -> None:
    """Only a deadline needs words: for the rest the row says what is wanted by now, which may differ from what was."""
    if reason is StopReason.DEADLINE and job.status == JobStatus.RUNNING:
        message = f"The job was not done within its deadline of {job.deadline_s:g} s; give it more time or a smaller spec."
        endings.fail(session, job, JobErrorCode.DEADLINE_EXCEEDED, message, retryable=False, at=now)
    else:
        endings.release(session, job, at=now)


def _describe_exit(exit_code: int) -> str:
    if exit_code >= 0:
        return f"its process ended with exit code {exit_code} and no result"
    return f"its process was ended by {signal.Signals(-exit_code).name}"
