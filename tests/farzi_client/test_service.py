"""The client and the command against the real service: API, supervisor and run processes, embedded."""

from __future__ import annotations

import json
import os
import pty
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from farzi_client import ApiError, Client, Dataset, Job, JobEvent, JobFailed, paging
from farzi_client.cli.demo_service import RunningService, running_service
from tests.farzi_client.cli import run_farzi

SPEC = {
    "preset": "quick",
    "student": {"hidden_size": 8, "num_layers": 1, "max_length": 10},
    "synthetic": {"num_sequences": 4, "sequence_length": 8, "latent_dim": 8},
    "inner": {"num_steps": 6, "min_steps": 3},
    "meta_gradient": {"window": 2},
    "outer": {"num_steps": 4, "validate_every": 2, "batch_size": 16},
    "teacher": {"num_steps": 10, "batch_size": 16},
    "evaluation": {"num_seeds": 1, "max_steps": 10, "num_validations": 2, "lr_factors": [1.0], "hard_draws": 2},
}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture
def client(service: RunningService) -> Iterator[Client]:
    with Client(service.api_key, base_url=service.base_url) as connected:
        yield connected


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch, service: RunningService) -> None:
    monkeypatch.setenv("FARZI_API_URL", service.base_url)
    monkeypatch.setenv("FARZI_API_KEY", service.api_key)


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty users who walk round a ring of twelve items."""
    path = tmp_path_factory.mktemp("events") / "ring.csv"
    generator = random.Random(0)
    lines = ["user,item,timestamp"]
    for user in range(60):
        item = generator.randrange(12)
        for at in range(15):
            item = (item + generator.choice((1, 1, 1, 2))) % 12
            lines.append(f"u{user},i{item},{at + 1}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def dataset(service: RunningService, events_file: Path) -> Dataset:
    with Client(service.api_key, base_url=service.base_url) as client:
        return client.datasets.wait(client.datasets.upload(events_file, format="csv").id, timeout_s=120)


def test_from_upload_to_verified_artifacts(client: Client, dataset: Dataset, tmp_path: Path) -> None:
    assert (dataset.num_sequences, dataset.num_events, dataset.vocab_size) == (60, 900, 12)
    events: list[JobEvent] = []
    fractions: list[float] = []
    job = client.jobs.distill(dataset.id, SPEC, metadata={"suite": "client"})
    done = client.jobs.wait(
        job.id, timeout_s=240, on_event=events.append, on_progress=lambda now: fractions.append(now.progress.fraction)
    )
    assert (done.status, done.progress.fraction, fractions[-1]) == ("succeeded", 1.0, 1.0)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert (events[0].type, events[-1].type) == ("job.queued", "job.succeeded")
    assert list(client.jobs.events(job.id, after=2)) == events[2:]
    assert len(client.jobs.metrics(job.id)["outer_loss"]) == 4
    assert [item.id for item in client.jobs.list(metadata={"suite": "client"})] == [job.id]
    paths = client.artifacts.download_all(job.id, tmp_path)
    assert {path.name for path in paths} >= {"synthetic.safetensors", "sequences.parquet", "report.json", "manifest.json"}
    assert pq.read_table(tmp_path / "sequences.parquet").num_rows == 16
    assert "sasrec" in json.loads((tmp_path / "report.json").read_text())["students"]
    published = (tmp_path / "sequences.jsonl").read_bytes()
    more = client.artifacts.download(job.id, "sequences.jsonl", tmp_path, draws=6)
    assert more.read_bytes().startswith(published)
    assert len(more.read_text().splitlines()) == 6 * 4
    assert client.artifacts.download(job.id, "sequences.jsonl", tmp_path, draws=4).read_bytes() == published
    many = client.artifacts.download(job.id, "sequences.parquet", tmp_path, draws=25)
    assert pq.read_table(many).num_rows == 25 * 4
    atomic = client.artifacts.download(job.id, "sequences.jsonl", tmp_path, format="inter", draws=2, seed=3)
    assert atomic.name == "sequences-2-draws-seed-3.inter"
    seeded = client.artifacts.download(job.id, "sequences.jsonl", tmp_path, draws=2, seed=3)
    lines = [json.loads(line)["events"] for line in seeded.read_text().splitlines()]
    rows = [f"{user}\t{item}\t{at}" for user, items in enumerate(lines) for at, item in enumerate(items)]
    assert atomic.read_text().splitlines() == ["user_id:token\titem_id:token\ttimestamp:float", *rows]
    same = client.artifacts.download(job.id, "sequences.jsonl", tmp_path / "same", format="parquet")
    assert same.read_bytes() == (tmp_path / "sequences.parquet").read_bytes()
    with pytest.raises(ApiError, match="holds no draws"):
        client.artifacts.download(job.id, "report.json", tmp_path, seed=3)


def test_a_job_is_cancelled_and_retried(client: Client, dataset: Dataset) -> None:
    job = client.jobs.distill(dataset.id, {**SPEC, "outer": {**SPEC["outer"], "num_steps": 100_000}})  # type: ignore[dict-item]
    started = threading.Event()
    waiting = threading.Thread(target=wait_for_start, args=(client, job, started))
    waiting.start()
    assert started.wait(60)
    client.jobs.cancel(job.id)
    waiting.join(60)
    assert client.jobs.get(job.id).status == "cancelled"
    assert client.jobs.retry(job.id).status in {"queued", "running"}
    client.jobs.cancel(job.id)
    with pytest.raises(JobFailed) as caught:
        client.jobs.wait(job.id, timeout_s=60)
    assert caught.value.job.status == "cancelled"
    with pytest.raises(ApiError) as refused:
        client.jobs.pause(job.id)
    assert refused.value.status == 409


FEW = {"num_seeds": 1, "max_steps": 4, "num_validations": 2, "teacher": {"num_steps": 4, "batch_size": 16}}


def test_a_result_is_estimated_judged_once_more_compared_and_deleted(client: Client, dataset: Dataset) -> None:
    body = {"kind": "distillation", "dataset_id": dataset.id, "spec": SPEC}
    estimate = client.jobs.estimate(body)
    assert 0 < estimate.seconds_p50 < estimate.seconds_p90
    assert sum(estimate.phases.values()) == pytest.approx(estimate.seconds_p50)
    assert estimate.basis.speeds in {"measured", "reference"}
    source = client.jobs.wait(client.jobs.distill(dataset.id, SPEC).id, timeout_s=240)
    judged = client.jobs.evaluate(source.id, FEW, students=["gru4rec"], metadata={"suite": "judged"})
    done = client.jobs.wait(judged.id, timeout_s=240)
    assert (done.kind, done.source_job_id, done.batch_divisor) == ("evaluation", source.id, 1)
    assert done.spec["students"] == ["gru4rec"]
    assert {artifact.name for artifact in done.artifacts} == {"report.json", "report.html", "manifest.json"}
    found = client.jobs.list(kind="evaluation", status=["succeeded", "failed"], source_job_id=source.id)
    assert [job.id for job in found] == [done.id]
    assert list(client.jobs.list(created_before=source.created_at, dataset_id=dataset.id, status="queued")) == []
    assert client.spec_schema(kind="evaluation")["title"] == "EvaluationSpec"
    compared = client.jobs.compare(source.id, done.id)
    assert [job.id for job in compared.jobs] == [source.id, done.id]
    assert all(job.seconds is not None and job.size_bytes > 0 for job in compared.jobs)
    assert compared.metrics["distilled_ndcg@10"][0] is not None
    assert client.jobs.label(done.id, {"suite": None, "kept": "no"}).metadata == {"kept": "no"}
    client.jobs.delete(done.id)
    with pytest.raises(ApiError) as gone:
        client.jobs.get(done.id)
    assert gone.value.code == "job_not_found"


def wait_for_start(client: Client, job: Job, started: threading.Event) -> None:
    with pytest.raises(JobFailed, match="cancelled"):
        client.jobs.wait(job.id, on_event=lambda event: started.set() if event.type == "job.started" else None)


def test_the_same_idempotency_key_makes_one_data_set(client: Client) -> None:
    first = client.datasets.create("once", format="csv", idempotency_key="client-suite")
    again = client.datasets.create("once", format="csv", idempotency_key="client-suite")
    assert first.id == again.id
    client.datasets.delete(first.id)
    with pytest.raises(ApiError) as caught:
        client.datasets.get(first.id)
    assert caught.value.code == "dataset_not_found"


def test_lists_go_on_past_one_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [client.datasets.create(f"page {number}", format="csv").id for number in range(3)]
    monkeypatch.setattr(paging, "PAGE_SIZE", 2)
    listed = [item.id for item in client.datasets.list()]
    assert [item for item in listed if item in made] == made[::-1]
    assert client.datasets.list_page(limit=1).has_more
    for item in made:
        client.datasets.delete(item)


def test_keys_are_made_renamed_and_revoked(client: Client, service: RunningService) -> None:
    key = client.keys.create("suite", scopes=["jobs:read"])
    assert client.keys.rename(key.id, "renamed").name == "renamed"
    assert client.keys.get(key.id).name == "renamed"
    assert key.key is not None
    with Client(key.key, base_url=service.base_url) as limited:
        list(limited.jobs.list())
        with pytest.raises(ApiError) as caught:
            limited.datasets.create("no", format="csv")
        assert caught.value.code == "insufficient_scope"
        client.keys.revoke(key.id)
        with pytest.raises(ApiError) as revoked:
            list(limited.jobs.list())
        assert revoked.value.code == "revoked_api_key"


def test_specs_and_presets_can_be_looked_up(client: Client) -> None:
    assert {preset.name for preset in client.presets(task="sequential_recommendation")} == {"quick", "standard", "thorough"}
    assert "synthetic" in client.spec_schema()["properties"]


def test_previews_are_in_the_users_own_ids(client: Client, dataset: Dataset) -> None:
    assert "i0" in json.dumps(client.datasets.preview(dataset.id))
    assert client.datasets.report(dataset.id)["num_problems"] == 0


@pytest.mark.usefixtures("_environment")
def test_the_command_goes_the_whole_way(capsys: Capture, events_file: Path, tmp_path: Path) -> None:
    uploaded = run_farzi(capsys, "dataset", "upload", str(events_file), "--name", "by command", "--json")
    assert uploaded.code == 0
    dataset_id = json.loads(uploaded.out)["id"]
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(SPEC))
    watched = run_farzi(capsys, "distill", dataset_id, "--spec", str(spec), "--watch", "--json")
    assert watched.code == 0
    job = json.loads(watched.out)
    assert job["status"] == "succeeded"
    shown = run_farzi(capsys, "job", "show", job["id"])
    assert "synthetic.safetensors" in shown.out
    downloaded = run_farzi(capsys, "download", job["id"], "-o", str(tmp_path / "out"), "-q")
    assert (downloaded.code, downloaded.err) == (0, "")
    assert len(os.listdir(tmp_path / "out")) == len(downloaded.out.split())


@pytest.mark.usefixtures("_environment")
def test_a_file_with_a_bad_line_exits_1(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("user,item,timestamp\nu1,i1,1\nu1,i2,yesterday\n")
    ran = run_farzi(capsys, "dataset", "upload", str(path))
    assert (ran.code, "line 3" in ran.err) == (1, True)
    shown = run_farzi(capsys, "dataset", "list", "--json")
    (dataset,) = [item for item in json.loads(shown.out) if item["name"] == "bad.csv"]
    assert run_farzi(capsys, "distill", dataset["id"], "--preset", "quick").code == 2
    assert run_farzi(capsys, "dataset", "delete", dataset["id"]).code == 0


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "show", "job_0"),
        ("job", "watch", "job_0"),
        ("download", "job_0"),
        ("dataset", "show", "ds_0"),
        ("distill", "ds_0"),
        ("keys", "create", "x", "--scope", "everything"),
    ],
)
def test_what_does_not_exist_exits_2(capsys: Capture, arguments: tuple[str, ...]) -> None:
    ran = run_farzi(capsys, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1


@pytest.mark.usefixtures("_environment")
def test_an_unknown_preset_exits_2_and_names_those_there_are(capsys: Capture, dataset: Dataset) -> None:
    ran = run_farzi(capsys, "distill", dataset.id, "--preset", "slow")
    assert (ran.code, "quick, standard, thorough" in ran.err) == (2, True)


@pytest.mark.usefixtures("_environment")
def test_an_empty_file_leaves_nothing_behind(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "nothing.csv"
    path.write_bytes(b"")
    assert run_farzi(capsys, "dataset", "upload", str(path)).code == 2
    assert "nothing.csv" not in run_farzi(capsys, "dataset", "list").out


@pytest.mark.usefixtures("_environment")
def test_a_wrong_key_exits_3(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARZI_API_KEY", "fz_wrong")
    ran = run_farzi(capsys, "job", "list")
    assert (ran.code, "FARZI_API_KEY" in ran.err) == (3, True)


def test_nothing_of_a_stopped_service_is_left(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        group = running.process.pid
        sessions = {group, *children_of(group)}
        assert len(sessions) > 1
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in sessions):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_first_start_on_a_terminal_shows_a_key_that_works_and_the_second_shows_none(tmp_path: Path) -> None:
    key = serve_on_terminal(tmp_path, "first")
    assert key is not None
    assert serve_on_terminal(tmp_path, "second", api_key=key) is None


def serve_on_terminal(directory: Path, name: str, *, api_key: str | None = None) -> str | None:
    """Start the service on a pseudo-terminal, call it with the key it shows (or ``api_key``), stop it; return the key shown."""
    controller, terminal = pty.openpty()
    address = directory / name
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FARZI_")},
        "FARZI_DATA_DIR": str(directory / "data"),
    }
    command = [sys.executable, "-m", "farzi_client.cli", "serve", "--port", "0", "--address-file", str(address)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment) as process:
        os.close(terminal)
        try:
            give_up_at = time.monotonic() + 60
            while not address.exists():
                assert process.poll() is None
                assert time.monotonic() < give_up_at
                time.sleep(0.1)
            shown = re.search(rb"export FARZI_API_KEY=(fz_\w+)", os.read(controller, 100_000))
            key = shown[1].decode() if shown else None
            with Client(api_key or key, base_url=address.read_text()) as client:
                assert list(client.jobs.list()) == []
        finally:
            process.terminate()
            drain(controller)
    return key


def drain(controller: int) -> None:
    """Read what the terminal still has, so that nobody waits for room in it."""
    try:
        while os.read(controller, 100_000):
            pass
    except OSError:
        os.close(controller)


def test_a_demo_whose_service_breaks_shows_the_log_and_exits_1(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise RuntimeError('broken on purpose')\n")
    command = [sys.executable, "-m", "farzi_client.cli", "demo", "--directory", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "broken on purpose" in ran.stderr
