"""The command on terminals of several widths: lists that fit, bars, the live line of a watched job, and Ctrl-C."""

from __future__ import annotations

import hashlib
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from tests.farzi_client.cli import run_farzi
from tests.farzi_client.terminal import CTRL_C, Terminal, plain, run_on_terminal
from tests.farzi_client.unruly_server import UnrulyServer, raw, reply, sse

ID = "01a216d1f25c77018be77e4c0fd3a831"
DATASET = {
    "id": f"ds_{ID}",
    "status": "ready",
    "name": "clicks of the shop, all countries, from the first of January 2020 to yesterday evening",
    "task": "sequential_recommendation",
    "num_sequences": 6_040,
    "num_events": 999_611,
    "size_bytes": 24_594_131,
}
JOB = {
    "id": f"job_{ID}",
    "kind": "distillation",
    "status": "running",
    "phase": "distillation",
    "progress": {"step": 3, "total": 10, "fraction": 0.3, "eta_s": 95.0},
    "metrics": {"teacher_loss": 6.2, "outer_loss": 2.71828, "validation_ndcg@10": 0.5739},
    "metadata": {"name": "first try"},
    "dataset_id": f"ds_{ID}",
    "created_at": "2026-01-02T03:04:05Z",
}
OVER = {**JOB, "status": "succeeded", "phase": None}
KEY = {"id": f"key_{ID}", "name": "ci", "scopes": ["datasets:read", "datasets:write", "jobs:read", "jobs:write"]}
COMPARED: dict[str, Any] = {
    "jobs": [{"id": f"job_{ID[:-1]}{number}", "status": "succeeded", "seconds": 61.0} for number in range(4)],
    "spec": {"student.architecture": ["sasrec", "gru4rec", "narm", "fmlp"]},
    "metrics": {"ratio_ndcg@10_mean": [0.91234, 0.9, None, 0.8]},
}
WIDTHS = (40, 80, 200)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, server: UnrulyServer) -> None:
    monkeypatch.setenv("FARZI_API_URL", server.url)
    monkeypatch.setenv("FARZI_API_KEY", "fz_test")
    for path, item in (("/v1/datasets", DATASET), ("/v1/jobs", JOB), ("/v1/api-keys", KEY)):
        server.on("GET", path, reply({"data": [item], "has_more": False, "next_cursor": None}))
    server.on("GET", "/v1/jobs/compare", reply(COMPARED))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("arguments", "whole", "only_if_wide"),
    [
        (("dataset", "list"), [DATASET["id"], "ready", "999,611"], "sequential_recommendation"),
        (("job", "list"), [JOB["id"], "running", "30 %", "first try"], "2026-01-02 03:04"),
        (("keys", "list"), [KEY["id"], "ci"], "datasets:read datasets:write jobs:read jobs:write"),
        (("job", "compare", "a", "b"), [job["id"] for job in COMPARED["jobs"]], None),
    ],
    ids=["data sets", "jobs", "keys", "comparison"],
)
def test_a_list_fits_and_ids_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    width: int,
    arguments: tuple[str, ...],
    whole: list[str],
    only_if_wide: str | None,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    shown = plain(run_farzi(capsys, *arguments).out)
    for words in whole:
        assert words in shown
    for line in shown.splitlines():
        # Where items stand below each other, a long value is broken by the terminal, and copied whole.
        assert cell_len(line) <= width or line.startswith("  "), line
    is_table = shown.splitlines()[0].startswith(("id", " "))
    assert is_table == (width > min(WIDTHS))
    if only_if_wide is not None and width == max(WIDTHS):
        assert only_if_wide in shown


def test_a_list_on_a_terminal(server: UnrulyServer) -> None:
    code, terminal = run_on_terminal("job", "list", width=80)
    assert code == 0, terminal.text
    assert max(cell_len(line) for line in terminal.lines) <= 80
    assert terminal.lines[0].split() == ["id", "name", "kind", "status", "progress"]
    assert terminal.lines[1].split() == [JOB["id"], "first", "try", "distillation", "running", "30", "%"]


def test_a_watched_job_shows_its_loss_what_it_reached_and_the_time_left(server: UnrulyServer) -> None:
    over = threading.Event()
    measured = {"step": 3, "metrics": {"validation_ndcg@10": 0.5739}, "best": True}
    server.on(
        "GET",
        f"/v1/jobs/{JOB['id']}/events/stream",
        sse((1, "validation.measured"), data=measured, then=lambda _: over.wait(60)),
        sse((2, "job.succeeded")),
    )
    server.on("GET", f"/v1/jobs/{JOB['id']}/events", reply({"data": [], "has_more": False}))
    server.on("GET", f"/v1/jobs/{JOB['id']}", reply(JOB))
    with Terminal("job", "watch", str(JOB["id"]), width=80) as terminal:
        terminal.wait_for(lambda text: "distillation, loss 2.718, ndcg@10 0.5739, 1 min 35 s to go" in text and "30%" in text)
        terminal.wait_for(lambda text: "step 3: validation_ndcg@10 0.5739 (best so far)" in text)
        server.on("GET", f"/v1/jobs/{JOB['id']}", reply(OVER))
        over.set()
        assert terminal.end() == 0
    assert "succeeded" in terminal.text
    assert max(cell_len(line) for line in terminal.lines) <= 80


def test_ctrl_c_while_watching_leaves_the_job_running_and_says_how_to_come_back(server: UnrulyServer) -> None:
    over = threading.Event()
    server.on("GET", f"/v1/jobs/{JOB['id']}/events/stream", sse((1, "job.started"), then=lambda _: over.wait(60)))
    server.on("GET", f"/v1/jobs/{JOB['id']}", reply(JOB))
    with Terminal("job", "watch", str(JOB["id"]), width=60) as terminal:
        terminal.wait_for(lambda text: "distillation" in text)
        terminal.press(CTRL_C)
        code = terminal.end()
    over.set()
    assert code == 130
    said = " ".join(terminal.text.split())
    assert f"come back with 'farzi job watch {JOB['id']}'" in said
    assert "?" not in said, "nothing is asked"
    assert not [item for item in server.received if item.method != "GET"]


def test_bars_of_an_upload_and_a_download(server: UnrulyServer, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_bytes(b"user,item,timestamp\n" + b"1,2,3\n" * 50_000)
    server.on("POST", "/v1/datasets", reply({"id": DATASET["id"], "status": "awaiting_upload"}, status=201))
    server.on("PUT", f"/v1/datasets/{DATASET['id']}/content", reply({"id": DATASET["id"], "status": "validating"}, status=202))
    server.on("GET", f"/v1/datasets/{DATASET['id']}", reply(DATASET))
    code, terminal = run_on_terminal("dataset", "upload", str(file), width=100)
    assert code == 0, terminal.text
    assert "uploading events.csv" in terminal.text
    assert "100%" in terminal.text
    assert "300.0/300.0 kB" in terminal.text

    content = b"x" * 200_000
    artifact = {
        "name": "report.json",
        "media_type": "-",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    server.on("GET", f"/v1/jobs/{JOB['id']}/artifacts", reply({"data": [artifact], "has_more": False, "next_cursor": None}))
    server.on("GET", f"/v1/jobs/{JOB['id']}/artifacts/report.json", raw(content))
    code, terminal = run_on_terminal("download", str(JOB["id"]), "-o", str(tmp_path / "out"), width=40)
    assert code == 0, terminal.text
    assert "downloading report" in terminal.text
    assert "100%" in terminal.text
    path = str(tmp_path / "out" / "report.json")
    assert path in terminal.text, "a path that is printed stays in one piece"
