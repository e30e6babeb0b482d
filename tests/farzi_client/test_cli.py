"""The command's answers, exit codes and sentences, against a server that plays every part."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from farzi_client.cli.arguments import parse_values
from tests.farzi_client.cli import run_farzi
from tests.farzi_client.unruly_server import UnrulyServer, problem, raw, reply, sse

READY = {"id": "ds_1", "status": "ready", "name": "mine", "num_sequences": 5, "num_events": 1234, "size_bytes": 2048}
JOB = {"id": "job_1", "status": "running", "kind": "distillation", "progress": {"step": 3, "total": 10, "fraction": 0.3}}
FAILURE = {"code": "numerical_failure", "message": "the loss is NaN; lower inner.lr", "retryable": False}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, server: UnrulyServer) -> None:
    monkeypatch.setenv("FARZI_API_URL", server.url)
    monkeypatch.setenv("FARZI_API_KEY", "fz_test")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_text("user,item,timestamp\n1,2,3\n")
    return path


def test_an_upload_to_a_ready_data_set(server: UnrulyServer, capsys: Capture, file: Path) -> None:
    server.on("POST", "/v1/datasets", reply({"id": "ds_1", "status": "awaiting_upload"}, status=201))
    server.on("PUT", "/v1/datasets/ds_1/content", reply({"id": "ds_1", "status": "validating"}, status=202))
    server.on("GET", "/v1/datasets/ds_1", reply(READY))
    arguments = ("--user", "0", "--item", "movie", "--option", "bad_rows=skip", "--option", "header=false", "--metadata", "a=b")
    ran = run_farzi(capsys, "dataset", "upload", str(file), "--json", *arguments)
    assert (ran.code, json.loads(ran.out)) == (0, READY)
    body = json.loads(server.requests("POST", "/v1/datasets")[0].body)
    assert body == {
        "name": "events.csv",
        "task": "sequential_recommendation",
        "format": "csv",
        "columns": {"user": 0, "item": "movie"},
        "options": {"bad_rows": "skip", "header": False},
        "metadata": {"a": "b"},
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("True", True),
        ("false", False),
        ("null", None),
        ("skip", "skip"),
        (";", ";"),
    ],
)
def test_values_of_options_have_the_types_of_json(text: str, value: object) -> None:
    assert parse_values([f"name={text}"], "--option") == {"name": value}


def test_an_invalid_file_exits_1_and_names_the_line(server: UnrulyServer, capsys: Capture, file: Path) -> None:
    server.on("POST", "/v1/datasets", reply({"id": "ds_1", "status": "awaiting_upload"}, status=201))
    server.on("PUT", "/v1/datasets/ds_1/content", reply({"id": "ds_1", "status": "validating"}, status=202))
    server.on("GET", "/v1/datasets/ds_1", reply({"id": "ds_1", "status": "invalid"}))
    server.on(
        "GET", "/v1/datasets/ds_1/report", reply({"problems": [{"line": 2, "column": "timestamp", "reason": "not a time"}]})
    )
    ran = run_farzi(capsys, "dataset", "upload", str(file), "-q")
    assert (ran.code, ran.out) == (1, "")
    assert "line 2, column timestamp: not a time" in ran.err
    shown = run_farzi(capsys, "dataset", "show", "ds_1")
    assert "line 2, column timestamp: not a time" in shown.out


def test_lists(server: UnrulyServer, capsys: Capture) -> None:
    server.on("GET", "/v1/datasets", reply({"data": [READY], "has_more": False, "next_cursor": None}))
    server.on("GET", "/v1/jobs", reply({"data": [JOB], "has_more": False, "next_cursor": None}))
    assert "1,234" in run_farzi(capsys, "dataset", "list").out
    assert json.loads(run_farzi(capsys, "dataset", "list", "--json").out) == [READY]
    ran = run_farzi(capsys, "job", "list", "--status", "running", "--status", "queued", "--metadata", "team=a")
    assert (ran.code, "30 %" in ran.out) == (0, True)
    assert "status=running&status=queued" in server.requests("GET", "/v1/jobs")[0].path
    assert "metadata%5Bteam%5D=a" in server.requests("GET", "/v1/jobs")[0].path


def test_a_distillation_is_submitted_with_its_spec(server: UnrulyServer, capsys: Capture, tmp_path: Path) -> None:
    server.on("POST", "/v1/jobs", reply(JOB, status=202))
    spec = tmp_path / "spec.json"
    spec.write_text('{"preset": "quick", "seed": 7}')
    ran = run_farzi(capsys, "distill", "ds_1", "--spec", str(spec), "--deadline-s", "60", "--json")
    assert (ran.code, json.loads(ran.out)["id"], ran.err) == (0, "job_1", "")
    body = json.loads(server.requests("POST", "/v1/jobs")[0].body)
    assert body == {
        "kind": "distillation",
        "dataset_id": "ds_1",
        "spec": {"preset": "quick", "seed": 7},
        "deadline_s": 60.0,
    }


def test_an_evaluation_is_submitted_with_its_students(server: UnrulyServer, capsys: Capture, tmp_path: Path) -> None:
    server.on("POST", "/v1/jobs", reply({**JOB, "kind": "evaluation", "source_job_id": "job_0"}, status=202))
    spec = tmp_path / "spec.json"
    spec.write_text('{"seed": 7, "students": ["fmlp"]}')
    ran = run_farzi(capsys, "evaluate", "job_0", "--spec", str(spec), "--students", "sasrec, narm", "--num-seeds", "5")
    assert (ran.code, "job_0" in ran.out) == (0, True)
    body = json.loads(server.requests("POST", "/v1/jobs")[0].body)
    wanted = {"seed": 7, "students": ["sasrec", "narm"], "num_seeds": 5}
    assert body == {"kind": "evaluation", "job_id": "job_0", "spec": wanted}


ESTIMATE = {
    "seconds_p50": 75.0,
    "seconds_p90": 130.0,
    "peak_memory_bytes": 800_000_000,
    "output_bytes": 300_000,
    "would_exceed_quota": True,
    "phases": {"startup": 5.0, "distillation": 70.0},
    "basis": {"speeds": "reference", "machine": None, "measured_at": None, "num_finished_jobs": 2, "relative_error": 0.7},
}


def test_an_estimate_of_either_kind(server: UnrulyServer, capsys: Capture) -> None:
    server.on("POST", "/v1/jobs/estimate", reply(ESTIMATE))
    ran = run_farzi(capsys, "estimate", "ds_1", "--preset", "quick")
    assert ran.code == 0
    for words in ("1 min 15 s", "nine in ten below 2 min 10 s", "distillation 1 min 10 s", "800.0 MB", "would be exceeded"):
        assert words in ran.out
    assert "no worker has measured" in ran.err
    assert json.loads(run_farzi(capsys, "estimate", "job_1", "--num-seeds", "2", "--json").out) == ESTIMATE
    bodies = [json.loads(request.body) for request in server.requests("POST", "/v1/jobs/estimate")]
    assert bodies == [
        {"kind": "distillation", "dataset_id": "ds_1", "spec": {"preset": "quick"}},
        {"kind": "evaluation", "job_id": "job_1", "spec": {"num_seeds": 2}},
    ]
    assert run_farzi(capsys, "estimate", "job_1", "--preset", "quick").code == 2
    assert run_farzi(capsys, "estimate", "ds_1", "--students", "sasrec").code == 2


def test_jobs_next_to_each_other(server: UnrulyServer, capsys: Capture) -> None:
    compared = {
        "jobs": [
            {"id": "job_1", "status": "succeeded", "seconds": 61.0, "size_bytes": 2000},
            {"id": "job_2", "status": "running"},
        ],
        "spec": {"seed": [0, 1], "student.architecture": ["sasrec", None]},
        "metrics": {"ratio": [0.91234, None]},
    }
    server.on("GET", "/v1/jobs/compare", reply(compared))
    ran = run_farzi(capsys, "job", "compare", "job_1", "job_2")
    assert ran.code == 0
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["ratio", "0.9123", "-"] in rows
    assert ["student.architecture", "sasrec", "-"] in rows
    assert "ids=job_1%2Cjob_2" in server.requests("GET", "/v1/jobs/compare")[0].path


def test_labels_and_deletion(server: UnrulyServer, capsys: Capture) -> None:
    server.on("PATCH", "/v1/jobs/job_1", reply({**JOB, "metadata": {"team": "ads"}}))
    ran = run_farzi(capsys, "job", "label", "job_1", "team=ads", "old=")
    assert (ran.code, ran.out.strip()) == (0, "team=ads")
    assert json.loads(server.requests("PATCH", "/v1/jobs/job_1")[0].body) == {"metadata": {"team": "ads", "old": None}}
    server.on("DELETE", "/v1/jobs/job_1", raw(b"", status=204))
    assert run_farzi(capsys, "job", "delete", "job_1").out.strip() == "job_1 is deleted"


def test_a_watched_job_that_succeeds(server: UnrulyServer, capsys: Capture) -> None:
    server.on("GET", "/v1/jobs/job_1/events/stream", sse((1, "job.started"), (2, "job.succeeded")))
    server.on("GET", "/v1/jobs/job_1/events", reply({"data": [], "has_more": False}))
    server.on("GET", "/v1/jobs/job_1", reply({**JOB, "status": "succeeded", "metrics": {"ratio": 0.9}}))
    ran = run_farzi(capsys, "job", "watch", "job_1")
    assert (ran.code, "succeeded" in ran.out) == (0, True)


def test_a_watched_job_that_fails_exits_1_and_still_prints_json(server: UnrulyServer, capsys: Capture) -> None:
    failed = {**JOB, "status": "failed", "error": FAILURE}
    server.on("POST", "/v1/jobs", reply(JOB, status=202))
    server.on("GET", "/v1/jobs/job_1/events/stream", sse((1, "job.failed")))
    server.on("GET", "/v1/jobs/job_1/events", reply({"data": [], "has_more": False}))
    server.on("GET", "/v1/jobs/job_1", reply(failed))
    ran = run_farzi(capsys, "distill", "ds_1", "--watch", "--json")
    assert (ran.code, json.loads(ran.out)) == (1, failed)
    assert "lower inner.lr" in ran.err


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry"])
def test_a_job_is_steered(server: UnrulyServer, capsys: Capture, action: str) -> None:
    server.on("POST", f"/v1/jobs/job_1/{action}", reply({**JOB, "status": "queued"}, status=202))
    ran = run_farzi(capsys, "job", action, "job_1")
    assert (ran.code, ran.out.strip()) == (0, "job_1 is queued")


def test_downloads(server: UnrulyServer, capsys: Capture, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"{}").hexdigest()
    listed = [
        {"name": name, "media_type": "application/json", "size_bytes": 2, "sha256": digest} for name in ("a.json", "b.json")
    ]
    server.on("GET", "/v1/jobs/job_1/artifacts", reply({"data": listed, "has_more": False, "next_cursor": None}))
    server.on("GET", "/v1/jobs/job_1/artifacts/a.json", raw(b"{}"))
    server.on("GET", "/v1/jobs/job_1/artifacts/b.json", raw(b"[]"))
    one = run_farzi(capsys, "download", "job_1", "--artifact", "a.json", "-o", str(tmp_path / "out"), "--json")
    assert (one.code, json.loads(one.out)) == (0, [str(tmp_path / "out" / "a.json")])
    assert run_farzi(capsys, "download", "job_1", "--artifact", "c.json", "-o", str(tmp_path)).code == 2
    damaged = run_farzi(capsys, "download", "job_1", "-o", str(tmp_path / "all"))
    assert damaged.code == 1
    assert os.listdir(tmp_path / "all") == ["a.json"]


def test_keys(server: UnrulyServer, capsys: Capture) -> None:
    key = {"id": "key_1", "name": "ci", "scopes": ["jobs:read"], "key": "fz_secret", "revoked_at": None}
    server.on("POST", "/v1/api-keys", reply(key, status=201))
    server.on("GET", "/v1/api-keys", reply({"data": [{**key, "key": None}], "has_more": False, "next_cursor": None}))
    server.on("DELETE", "/v1/api-keys/key_1", reply(b"", status=204))
    made = run_farzi(capsys, "keys", "create", "ci", "--scope", "jobs:read", "--expires-in-days", "30")
    assert (made.code, made.out.strip()) == (0, "fz_secret")
    assert "expires_at" in json.loads(server.requests("POST", "/v1/api-keys")[0].body)
    assert "key_1" in run_farzi(capsys, "keys", "list").out
    assert run_farzi(capsys, "keys", "revoke", "key_1").code == 0


def test_a_key_whose_secret_was_lost_is_reported(server: UnrulyServer, capsys: Capture) -> None:
    server.on("POST", "/v1/api-keys", reply({"id": "key_1", "scopes": [], "key": None}, status=201))
    ran = run_farzi(capsys, "keys", "create", "ci")
    assert (ran.code, "revoke it" in ran.err) == (1, True)


@pytest.mark.parametrize(
    ("answer", "code", "remedy"),
    [
        (problem(401, "invalid_api_key"), 3, "FARZI_API_KEY"),
        (problem(403, "insufficient_scope"), 3, "scope"),
        (problem(404, "job_not_found"), 2, "job_not_found"),
        (problem(409, "invalid_job_status"), 2, "invalid_job_status"),
        (problem(422, "invalid_spec", errors=[{"pointer": "/preset", "detail": "allowed: quick"}]), 2, "allowed: quick"),
        (problem(429, "too_many", headers={"Retry-After": "3600"}), 3, "too_many"),
        (problem(500, "internal_error"), 3, "req_1"),
        (raw(b"<html>hello</html>"), 3, "FARZI_API_URL"),
    ],
)
def test_an_error_is_a_sentence_and_an_exit_code(
    server: UnrulyServer, capsys: Capture, answer: object, code: int, remedy: str
) -> None:
    server.on("GET", "/v1/jobs/job_1", answer)  # type: ignore[arg-type]
    ran = run_farzi(capsys, "job", "show", "job_1", "--json")
    assert (ran.code, ran.out) == (code, "")
    assert remedy in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "show"),
        ("job", "explode", "job_1"),
        ("dataset", "upload", "nothing-here.csv"),
        ("dataset", "upload", "pyproject.toml"),
        ("dataset", "show", "ds_1", "--report", "--preview"),
        ("distill", "ds_1", "--spec", "nothing-here.json"),
        ("distill", "ds_1", "--spec", "pyproject.toml"),
        ("distill", "ds_1", "--preset", "quick", "--spec", "pyproject.toml"),
        ("distill", "ds_1", "--metadata", "no-equals-sign"),
        ("worker", "--queue", "tpu"),
        ("demo", "--preset", "slow"),
        ("nonsense",),
    ],
)
def test_wrong_usage_exits_2_before_anything_is_sent(
    server: UnrulyServer, capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    ran = run_farzi(capsys, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err
    assert server.received == []


def test_a_missing_key_exits_3(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FARZI_API_KEY")
    ran = run_farzi(capsys, "job", "list")
    assert (ran.code, "FARZI_API_KEY" in ran.err) == (3, True)


def test_an_unreachable_service_exits_3(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARZI_API_URL", "http://127.0.0.1:9")
    ran = run_farzi(capsys, "job", "list")
    assert (ran.code, "farzi serve" in ran.err) == (3, True)


def test_markup_in_what_users_named_is_shown_as_it_is(server: UnrulyServer, capsys: Capture) -> None:
    named = {**READY, "name": "[red]x[/red] :smile:"}
    server.on("GET", "/v1/datasets/ds_1", reply(named))
    assert "[red]x[/red] :smile:" in run_farzi(capsys, "dataset", "show", "ds_1").out


def test_draws_are_passed_on(server: UnrulyServer, capsys: Capture, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"{}").hexdigest()
    names = ("sequences.jsonl", "sequences.parquet")
    listed = [{"name": name, "media_type": "text/plain", "size_bytes": 2, "sha256": digest} for name in names]
    server.on("GET", "/v1/jobs/job_1/artifacts", reply({"data": listed, "has_more": False, "next_cursor": None}))
    for name in names:
        server.on("GET", f"/v1/jobs/job_1/artifacts/{name}", raw(b"{}"))
    assert run_farzi(capsys, "download", "job_1", "--draws", "9", "-o", str(tmp_path), "-q").code == 0
    chosen = ("--draws", "7", "--artifact", "sequences.parquet")
    assert run_farzi(capsys, "download", "job_1", *chosen, "-o", str(tmp_path), "-q").code == 0
    assert sorted(os.listdir(tmp_path)) == ["sequences-7-draws.parquet", "sequences-9-draws.jsonl"]
    assert [item.path.partition("?")[2] for item in server.received if "sequences" in item.path] == ["draws=9", "draws=7"]
    wish = ("--format", "inter", "--draws", "8", "--seed", "1")
    assert run_farzi(capsys, "download", "job_1", *wish, "-o", str(tmp_path), "-q").code == 0
    assert server.received[-1].path.endswith("/sequences.jsonl?format=inter&draws=8&seed=1")
    assert (tmp_path / "sequences-8-draws-seed-1.inter").read_bytes() == b"{}"
    for wrong in (("--draws", "0"), ("--draws", "101"), ("--seed", "-1"), ("--seed", str(2**64)), ("--format", "csv")):
        assert run_farzi(capsys, "download", "job_1", *wrong).code == 2, wrong
