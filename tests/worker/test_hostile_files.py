"""No file breaks validation: each gets the verdict that is right for it, in bounded memory, with no word of the server in it.

All of them are read in one process under limits; one of each class, and those that break the limits, by a real worker.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.datasets.models import DatasetStatus
from app.datasets.report_schemas import PreviewOut, ReportOut
from app.jobs.states import JobStatus
from tests.worker.hostile_files import HOSTILE_FILES
from tests.worker.hostile_making import READY, HostileFile
from tests.worker.running_service import RunningService, find_run_process

SERVER_WORDS = (
    "traceback",
    "recursion",
    "sys.",
    "line 1 column",
    "/tmp/",
    "/work/",
    "site-packages",
    ".py",
    "pyarrow",
    "polars",
    "object at 0x",
    str(Path.cwd()).lower(),
)
BY_WORKER = list({file.kind: file for file in HOSTILE_FILES}.values())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, "-m", "tests.worker.reading_hostile_files", str(directory)]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    assert process.returncode == 0, f"{(directory / 'now').read_text()} ended the process: {process.stderr[-2000:]}"
    found: dict[str, Any] = json.loads((directory / "results.json").read_text())
    return found


def test_there_are_a_hundred_of_them_and_the_document_names_their_classes() -> None:
    assert len(HOSTILE_FILES) >= 100
    assert len({str(file) for file in HOSTILE_FILES}) == len(HOSTILE_FILES)
    page = Path("docs/security.md").read_text(encoding="utf-8")
    assert [kind for kind in {file.kind for file in HOSTILE_FILES} if f"| `{kind}` |" not in page] == []


@pytest.mark.parametrize("file", HOSTILE_FILES, ids=str)
def test_every_file_gets_its_verdict(results: dict[str, Any], file: HostileFile) -> None:
    found = results[str(file)]
    assert "escaped" not in found, found["escaped"]
    check_report(file, found["report"], found["preview"], is_ready=found["is_ready"])


def check_report(file: HostileFile, report: dict[str, Any], preview: list[dict[str, Any]], *, is_ready: bool) -> None:
    ReportOut.model_validate(report)
    PreviewOut.model_validate({"data": preview})
    codes = set(report["problem_counts"])
    if file.verdict == READY:
        assert is_ready, report["problems"][:3]
    else:
        assert not is_ready
        assert codes, "an invalid data set has a reason"
        assert "any" in file.verdict or codes & set(file.verdict), report["problems"][:3]
    shown = json.dumps(report, ensure_ascii=False)
    assert len(shown) < 3_000_000
    assert all(text.isprintable() for problem in report["problems"] for text in problem.values() if isinstance(text, str))
    assert all(text.isprintable() for sequence in preview for text in [sequence["name"] or "", *sequence["events"]])
    reasons = " ".join(problem["reason"] for problem in report["problems"]).lower()
    assert [word for word in SERVER_WORDS if word in reasons] == []


def is_running(job_id: str) -> bool:
    try:
        return find_run_process(job_id) > 0
    except AssertionError:
        return False


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with tempfile.TemporaryDirectory() as directory:
        service = RunningService(data_dir=Path(directory), validation_memory_bytes=2**30, validation_cpu_s=60)
        yield service
        service.close()


def test_the_worker_outlives_one_of_each_class(service: RunningService, tmp_path: Path) -> None:
    supervisor = service.start("worker.supervisor")
    submitted = []
    for file in BY_WORKER:
        task = "language_modeling" if file.data_format == "text" else "sequential_recommendation"
        ids = service.submit_validation(file.make(), tmp_path, format=file.data_format, task=task, columns=None)
        submitted.append((file, *ids))
    for file, dataset_id, job_id in submitted:
        assert service.wait_for_end(job_id).status == JobStatus.SUCCEEDED, file
        assert len(service.runs(job_id)) == 1, file
        dataset = service.dataset(dataset_id)
        assert dataset.status in {DatasetStatus.READY, DatasetStatus.INVALID}
        assert dataset.report is not None
        check_report(file, dataset.report, dataset.preview or [], is_ready=dataset.status == DatasetStatus.READY)
        service.wait_until(lambda job_id=job_id: not is_running(job_id), "the end of its process")  # type: ignore[misc]
    assert supervisor.poll() is None
