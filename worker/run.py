"""``python -m worker.run JOB_ID TOKEN``: one run of one job, in a process that ends with it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from app.datasets.models import Dataset
from app.db import OUTAGE_PATIENCE_S, attempts_while_away
from app.jobs.leases import Lease, LeaseLostError, lock_held
from app.jobs.progress import JobWriter
from app.jobs.states import JobErrorCode, JobKind
from app.request_context import within_request
from app.settings import load_settings
from app.storage import DamagedObjectError, ObjectMissingError, StorageError
from app.tracing import configure_tracing, span
from farzi_core.errors import FarziError
from worker.context import RunContext, RunStoppedError
from worker.lifeline import die_with_standard_input
from worker.log_tail import LINE_FORMAT, LastWords, keeping_last_words
from worker.process import ExitCode
from worker.services import Services, connect
from worker.signals import call_on_signal
from worker.supervision import TRACEPARENT_VARIABLE
from worker.waking import stay_alive

logger = logging.getLogger(__name__)


def main(arguments: list[str]) -> int:
    """Run the job and return what the supervisor has to know."""
    die_with_standard_input()
    stop = threading.Event()
    call_on_signal((signal.SIGTERM,), stop.set)
    job_id, token = arguments
    settings = load_settings()
    # Plain lines: the supervisor wraps each into a line of its own log, and the last ones are shown to the job's owner.
    logging.basicConfig(level=settings.log_level.upper(), format=LINE_FORMAT)
    services = connect(settings)
    configure_tracing("farzi-run")
    lease = Lease(job_id, int(token))
    writer = JobWriter(services.session_factory, lease)
    stay_alive(settings, services.session_factory, writer)
    try:
        with within_request(None, os.environ.get(TRACEPARENT_VARIABLE)), span("run process", "internal"):
            return run_job(services, writer, stop)
    except LeaseLostError:
        return ExitCode.LEASE_LOST
    except (ObjectMissingError, DamagedObjectError):  # time does not bring back what is not there
        logger.exception("the run failed")
        return ExitCode.INTERNAL_ERROR
    except StorageError:
        logger.exception("the object store cannot be reached")
        return ExitCode.STORAGE_UNAVAILABLE
    except Exception:
        logger.exception("the run failed")
        return ExitCode.INTERNAL_ERROR


def run_job(services: Services, writer: JobWriter, stop: threading.Event) -> ExitCode:
    """Run the job that the writer's lease is of, and return how that ended."""
    with tempfile.TemporaryDirectory(prefix="farzi-run-") as directory, keeping_last_words() as last_words:
        context = _make_context(services, writer, Path(directory), stop)
        try:
            _run_kind(context)
        except RunStoppedError:
            logger.info("stopped, as it was told to; the work so far is in a checkpoint")
            return ExitCode.STOPPED
        except FarziError as error:
            logger.exception("the job fails: %s", error.code)
            writer.fail(error.code, error.message, last_words=last_words.lines)
        except MemoryError:
            if context.job.kind == JobKind.VALIDATION:  # the file kept its limits: it is the machine that has no memory left
                raise
            logger.exception("out of memory")
            _give_up_memory(context, last_words)
    return ExitCode.REPORTED


def _run_kind(context: RunContext) -> None:
    """Each kind imports only what it needs: a validation no torch."""
    if context.job.kind == JobKind.VALIDATION:
        from worker.validation import run_validation  # noqa: PLC0415

        run_validation(context)
    elif context.job.kind == JobKind.DISTILLATION:
        from worker.distillation import run_distillation  # noqa: PLC0415

        run_distillation(context)
    elif context.job.kind == JobKind.EVALUATION:
        from worker.evaluation import run_evaluation  # noqa: PLC0415

        run_evaluation(context)
    else:
        raise FarziError(f"Jobs of kind {context.job.kind!r} cannot be run by this version.", code=JobErrorCode.UNKNOWN_KIND)


def _make_context(services: Services, writer: JobWriter, directory: Path, stop: threading.Event) -> RunContext:
    for attempt in attempts_while_away(OUTAGE_PATIENCE_S):
        with attempt, services.session_factory.begin() as session:
            job = lock_held(session, writer.lease)
            dataset = session.get_one(Dataset, job.dataset_id)
    return RunContext(
        settings=services.settings,
        session_factory=services.session_factory,
        store=services.store,
        lease=writer.lease,
        writer=writer,
        job=job,
        dataset=dataset,
        directory=directory,
        stop=stop,
    )


def _give_up_memory(context: RunContext, last_words: LastWords) -> None:
    """Try once more with half the batches."""
    if context.job.batch_divisor == 1:
        context.writer.retry_with_smaller_batches()
    else:
        message = (
            "The run did not fit into the memory of its machine, not even with batches of half the size. Make "
            "synthetic.num_sequences, student.hidden_size or outer.batch_size smaller, or choose a meta_gradient.method that "
            "keeps less, such as 'checkpointed'."
        )
        context.writer.fail(JobErrorCode.OUT_OF_MEMORY, message, last_words=last_words.lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
