"""Validation runs: the verdict on an upload, whatever is in it, and no way for a file to take more than it may."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from app.datasets.models import DatasetStatus
from app.jobs.states import JobStatus, RunOutcome
from farzi_core.data.sequences import SequenceDataset
from tests.worker.running_service import LONG_OUTER_STEPS, RunningService

ROWS = "".join(f"{user},{(user + at) % 20},{at}\n" for user in range(40) for at in range(10))
GOOD = f"user,item,timestamp\n{ROWS}".encode()
BAD = GOOD.replace(b"7,7,0\n", b"7,7,yesterday\n")
COLUMNS = {"user": "user", "item": "item", "timestamp": "timestamp"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    service = RunningService(data_dir=tmp_path / "data")
    yield service
    service.close()


def test_good_and_bad_files_get_their_verdicts(service: RunningService, tmp_path: Path) -> None:
    good_id, good_job = service.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    bad_id, bad_job = service.submit_validation(BAD, tmp_path, columns=COLUMNS)
    empty_id, empty_job = service.submit_validation(b"", tmp_path, columns=COLUMNS)
    service.start("worker.supervisor")
    for job_id in (good_job, bad_job, empty_job):
        service.wait_for_status(job_id, JobStatus.SUCCEEDED)
        assert service.runs(job_id) == [RunOutcome.SUCCEEDED]

    good = service.dataset(good_id)
    assert good.status == DatasetStatus.READY, good.report
    assert (good.num_sequences, good.num_events, good.vocab_size, good.max_sequence_length) == (40, 400, 20, 10)
    assert good.canonical_key == f"datasets/{good_id}/1/canonical.parquet"
    service.store.fetch_file(good.canonical_key, tmp_path / "canonical.parquet")
    assert SequenceDataset.read_parquet(tmp_path / "canonical.parquet").num_events == 400
    assert good.preview

    bad = service.dataset(bad_id)
    assert (bad.status, bad.canonical_key) == (DatasetStatus.INVALID, None)
    assert bad.report is not None
    assert bad.report["problems"][0]["line"] == 2 + BAD[: BAD.index(b"yesterday")].count(b"\n") - 1
    assert bad.report["problems"][0]["column"] == "timestamp"

    empty = service.dataset(empty_id)
    assert empty.status == DatasetStatus.INVALID
    assert empty.report is not None
    assert empty.report["num_problems"] == 1


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_compressed_files_are_read_and_bombs_refused(service: RunningService, tmp_path: Path, encoding: str) -> None:
    files = {"good": GOOD, "bomb": b"\0" * (32 << 20), "damaged": GOOD * 20}
    packed = {name: pa.compress(content, codec=encoding, asbytes=True) for name, content in files.items()}
    packed["damaged"] = packed["damaged"][:-10]
    submitted = {
        name: service.submit_validation(content, tmp_path, columns=COLUMNS, content_encoding=encoding)
        for name, content in packed.items()
    }
    service.start("worker.supervisor")
    for _, job_id in submitted.values():
        service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    good, bomb, damaged = (service.dataset(dataset_id) for dataset_id, _ in submitted.values())
    assert (good.status, good.num_events) == (DatasetStatus.READY, 400), good.report
    for dataset, code in ((bomb, "decompression_limit"), (damaged, "compression_damaged")):
        assert dataset.status == DatasetStatus.INVALID
        assert dataset.report is not None
        assert [problem["code"] for problem in dataset.report["problems"]] == [code]
        assert dataset.report["num_rows"] is None


def test_a_file_is_validated_while_a_distillation_runs(service: RunningService, tmp_path: Path) -> None:
    running = service.submit(service.add_ready_dataset(tmp_path), outer_steps=20 * LONG_OUTER_STEPS)
    service.start("worker.supervisor")
    service.wait_for_checkpoint(running)
    dataset_id, job_id = service.submit_validation(GOOD, tmp_path, columns=COLUMNS)
    service.wait_for_status(job_id, JobStatus.SUCCEEDED)
    assert service.dataset(dataset_id).status == DatasetStatus.READY
    assert service.job(running).status == JobStatus.RUNNING


@pytest.mark.parametrize("limit", ["memory", "time"])
def test_a_file_that_takes_too_much_is_invalid_at_once(tmp_path: Path, limit: str) -> None:
    limits = {"memory": {"validation_memory_bytes": 2**28}, "time": {"validation_cpu_s": 1}}[limit]
    service = RunningService(data_dir=tmp_path / "data", **limits)
    wide = b"user,item,timestamp\n" + b"".join(b"%d,%d,%d\n" % (n, n * 7919, n) for n in range(3_000_000))
    try:
        dataset_id, job_id = service.submit_validation(wide, tmp_path, columns=COLUMNS)
        service.start("worker.supervisor")
        job = service.wait_for_end(job_id)
        dataset = service.dataset(dataset_id)
        assert dataset.status == DatasetStatus.INVALID
        assert job.error_code == "validation_limit"
        assert dataset.report is not None
        problem = dataset.report["problems"][0]
        assert problem["code"] == job.error_code
        assert str({"memory": 2**28, "time": 1}[limit]) in problem["reason"]
        assert len(service.runs(job_id)) == 1, "the same file would end the next run in the same way"
    finally:
        service.close()
