"""A run that goes out of memory is tried once more with half the batches; only then the job fails.

Memory is limited where torch makes its tensors, so that what fits is decided by what a run really computes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from app.jobs.leases import claim
from app.jobs.models import Job, Manifest
from app.jobs.progress import JobWriter
from app.jobs.states import JobStatus, RunOutcome
from tests.worker.running_service import RunningService
from worker.process import ExitCode
from worker.run import run_job
from worker.services import Services

# The scores of a batch of 128 real sequences are 128 x 12 x 20 numbers; those of half of them fit.
FITS_HALF, FITS_NOTHING = 20_000, 300


def refuse_as_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


class SmallMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A device that holds no tensor of more than so many numbers."""

    def __init__(self, numbers: int, refuse: Callable[[], object]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._numbers, self._refuse = numbers, refuse

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        if max(sizes, default=0) > self._numbers:
            self._refuse()
        return result


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    service = RunningService(data_dir=tmp_path / "data")
    yield service
    service.close()


def run_once(service: RunningService, job_id: str, numbers: int, refuse: Callable[[], object] = refuse_as_a_gpu) -> ExitCode:
    with service.session_factory.begin() as session:
        lease = claim(session, job_id, "tests", lease_s=60, max_runs=3)
    assert lease is not None
    services = Services(service.settings, service.session_factory, service.store)
    threads = torch.get_num_threads()
    try:
        with SmallMemory(numbers, refuse):
            return run_job(services, JobWriter(service.session_factory, lease), threading.Event())
    finally:
        torch.set_num_threads(threads)


def test_half_the_batches_fit(service: RunningService, tmp_path: Path) -> None:
    job_id = service.submit(service.add_ready_dataset(tmp_path))
    assert run_once(service, job_id, FITS_HALF) == ExitCode.REPORTED
    job = service.job(job_id)
    assert (job.status, job.batch_divisor, job.num_lost_runs) == (JobStatus.QUEUED, 2, 0)
    assert service.events(job_id)[-1].data["code"] == "out_of_memory"
    assert run_once(service, job_id, FITS_HALF) == ExitCode.REPORTED
    assert service.job(job_id).status == JobStatus.SUCCEEDED
    assert service.runs(job_id) == [RunOutcome.FAILED, RunOutcome.SUCCEEDED]
    with service.session_factory() as session:
        spec = session.get_one(Manifest, job_id).content["spec"]
    assert (spec["teacher"]["batch_size"], spec["outer"]["batch_size"], spec["inner"]["batch_size"]) == (64, 8, 2)
    assert service.job(job_id).spec["outer"]["batch_size"] == 16, "the job shows what was asked for"


def test_what_does_not_fit_in_half_fails_with_advice(service: RunningService, tmp_path: Path) -> None:
    job_id = service.submit(service.add_ready_dataset(tmp_path))
    run_once(service, job_id, FITS_NOTHING)
    run_once(service, job_id, FITS_NOTHING)
    job = service.job(job_id)
    assert (job.status, job.error_code, job.error_retryable) == (JobStatus.FAILED, "out_of_memory", False)
    assert "smaller" in (job.error_message or "")
    assert service.event_types(job_id)[-2:] == ["log.tail", "job.failed"]
    assert any("out of memory" in line for line in service.events(job_id)[-2].data["lines"])


def test_an_allocation_that_the_cpu_refuses_counts_too(service: RunningService, tmp_path: Path) -> None:
    job_id = service.submit(service.add_ready_dataset(tmp_path))
    assert run_once(service, job_id, FITS_HALF, refuse=lambda: torch.empty(2**50)) == ExitCode.REPORTED
    assert service.job(job_id).batch_divisor == 2


def test_a_run_gets_no_more_of_the_hosts_memory_than_it_may(tmp_path: Path) -> None:
    service = RunningService(data_dir=tmp_path / "data", run_memory_bytes=2**29)
    try:
        job_id = service.submit(service.add_ready_dataset(tmp_path))
        with service.session_factory.begin() as session:
            job = session.get_one(Job, job_id)
            # Each layer of half a batch takes 2**15 x 12 x 64 numbers, a hundred megabytes.
            student, teacher = {**job.spec["student"], "hidden_size": 64}, {**job.spec["teacher"], "batch_size": 2**16}
            job.spec = {**job.spec, "student": student, "teacher": teacher}
        service.start("worker.supervisor")
        job = service.wait_for_status(job_id, JobStatus.FAILED)
    finally:
        service.close()
    assert (job.error_code, job.batch_divisor) == ("out_of_memory", 2)
