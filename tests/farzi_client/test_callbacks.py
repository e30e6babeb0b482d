"""Jobs in MLflow and in Weights & Biases, the libraries themselves: MLflow on SQLite, wandb offline."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from farzi_client import Client, Job, JobEvent, JobFailed, MetricPoint
from farzi_client.callbacks import MLflowCallback, WandbCallback
from tests.farzi_client.unruly_server import UnrulyServer, raw, reply

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
JOB = Job(
    id="job_1",
    status="running",
    dataset_id="ds_1",
    spec={"preset": "quick", "outer": {"num_steps": 4, "patience": None}},
    metadata={"team": "rec"},
)
SERIES = {"outer_loss": (MetricPoint(step=1, value=4.0, at=AT), MetricPoint(step=2, value=3.5, at=AT))}


def events(last: str) -> list[JobEvent]:
    measured = {"step": 2, "best": True, "metrics": {"validation_ndcg@10": 0.5, "random_validation_ndcg@10": None}}
    said: list[tuple[str, dict[str, Any]]] = [
        ("job.started", {"number": 1}),
        ("phase.started", {"phase": "distillation"}),
        ("validation.measured", measured),
        ("something.new", {}),
        (last, {"code": "out_of_memory", "message": "use fewer"}),
    ]
    return [JobEvent(seq=seq, type=kind, data=data, at=AT) for seq, (kind, data) in enumerate(said, 1)]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's own store on SQLite, made once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        yield f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def run_of(uri: str, log: MLflowCallback) -> Any:
    return importlib.import_module("mlflow").MlflowClient(uri).get_run(log.run_id)


# MLflow 3.17 says this of its own mappers, with SQLAlchemy 2.1.
old_words = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning")


@old_words
def test_a_job_is_a_run_of_mlflow(uri: str) -> None:
    with MLflowCallback(JOB, tracking_uri=uri) as log:
        for event in events("job.failed"):
            log(event)
        log.series(SERIES)
    run = run_of(uri, log)
    assert (run.info.status, run.info.run_name) == ("FAILED", "job_1")
    assert run.data.params == {"preset": "quick", "outer.num_steps": "4", "outer.patience": "None"}
    assert run.data.metrics == {"validation_ndcg_10": 0.5, "outer_loss": 3.5}
    client = importlib.import_module("mlflow").MlflowClient(uri)
    assert [(point.step, point.value) for point in client.get_metric_history(log.run_id, "outer_loss")] == [(1, 4.0), (2, 3.5)]
    (point,) = client.get_metric_history(log.run_id, "validation_ndcg_10")
    assert (point.step, point.timestamp) == (2, round(1000 * AT.timestamp()))
    assert {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")} == {
        "farzi.job_id": "job_1", "farzi.dataset_id": "ds_1", "team": "rec",
        "farzi.phase": "distillation", "farzi.event": "job.failed", "farzi.error": "use fewer (out_of_memory)",
    }  # fmt: skip


@old_words
@pytest.mark.parametrize(
    ("last", "status"), [("job.succeeded", "FINISHED"), ("job.cancelled", "KILLED"), ("checkpoint.written", "KILLED")]
)
def test_a_run_of_mlflow_ends_as_the_job_does(uri: str, last: str, status: str) -> None:
    with MLflowCallback(JOB, tracking_uri=uri, experiment="another", run_name="named") as log:
        for event in events(last):
            log(event)
    run = run_of(uri, log)
    assert (run.info.status, run.info.run_name) == (status, "named")
    assert "farzi.error" not in run.data.tags


def test_a_job_is_a_run_of_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    with WandbCallback(JOB, mode="offline", dir=str(tmp_path)) as log:
        for event in events("job.succeeded"):
            log(event)
        log.series(SERIES)
        assert log.run.name == "job_1"
        assert dict(log.run.config) == {
            "preset": "quick", "outer.num_steps": 4, "outer.patience": None,
            "farzi.job_id": "job_1", "farzi.dataset_id": "ds_1", "team": "rec",
        }  # fmt: skip
        summary = {name: log.run.summary[name] for name in ("outer_loss", "validation_ndcg@10", "farzi.event", "farzi.phase")}
        assert summary == {
            "outer_loss": 3.5, "validation_ndcg@10": 0.5, "farzi.event": "job.succeeded", "farzi.phase": "distillation",
        }  # fmt: skip
    assert len(list(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))) == 1


@old_words
def test_a_callback_is_given_to_wait(server: UnrulyServer, client: Client, uri: str) -> None:
    lines = [f'id: {event.seq}\ndata: {{"seq": {event.seq}, "type": "{event.type}"}}\n\n' for event in events("job.failed")]
    server.on(
        "GET", "/v1/jobs/job_1/events/stream", raw("".join(lines).encode(), headers={"Content-Type": "text/event-stream"})
    )
    server.on("GET", "/v1/jobs/job_1/events", reply({"data": [], "has_more": False}))
    server.on("GET", "/v1/jobs/job_1", reply({"id": "job_1", "status": "failed"}))
    with MLflowCallback(JOB, tracking_uri=uri) as log, pytest.raises(JobFailed):
        client.jobs.wait("job_1", on_event=log)
    assert run_of(uri, log).info.status == "FAILED"


@pytest.mark.parametrize(("module", "callback"), [("mlflow", "MLflowCallback"), ("wandb", "WandbCallback")])
def test_a_missing_library_is_named_with_its_extra(module: str, callback: str) -> None:
    script = f"""
import sys
sys.modules[{module!r}] = None
from farzi_client import Job, MissingExtra, callbacks
try:
    callbacks.{callback}(Job(id="job_1", status="running"))
except MissingExtra as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"needs {module}" in ran.stdout
    assert f"'farzi[{module}]'" in ran.stdout
