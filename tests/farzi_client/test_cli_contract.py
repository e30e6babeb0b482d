"""What holds for all commands: which there are, their flags, that they are documented, and what Ctrl-C says."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import pytest
import typer.main

import farzi_core.calibration
from farzi_client.cli import app
from farzi_core.costs import REFERENCE
from tests.farzi_client.cli import run_farzi
from tests.farzi_client.terminal import CTRL_C, Terminal
from tests.farzi_client.unruly_server import Handler, UnrulyServer, reply

CONTRACT = {
    "serve",
    "worker",
    "demo",
    "distill",
    "evaluate",
    "download",
    "estimate",
    "bench",
    "db upgrade",
    *(f"keys {action}" for action in ("create", "list", "revoke")),
    *(f"dataset {action}" for action in ("upload", "list", "show", "delete")),
    *(f"job {action}" for action in ("list", "show", "watch", "cancel", "pause", "resume", "retry")),
}
# Servers write logs, and a script is for a shell.
WITHOUT_RESULT = {"serve", "worker", "completion", "db upgrade", "db backup"}
Capture = pytest.CaptureFixture[str]


def every_command(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in command.commands.items():
        if hasattr(inner, "commands"):
            yield from every_command(inner, f"{path}{name} ")
        else:
            yield path + name, inner


COMMANDS = dict(every_command(typer.main.get_command(app)))


def test_every_command_of_the_contract_is_there_and_every_command_is_documented() -> None:
    assert set(COMMANDS) >= CONTRACT
    document = Path(__file__).parents[2].joinpath("docs/cli.md").read_text()
    assert [name for name in COMMANDS if f"`farzi {name}" not in document] == []


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_RESULT))
def test_flags_are_the_same_everywhere(name: str) -> None:
    flags = {flag for parameter in COMMANDS[name].params for flag in parameter.opts}
    assert "--json" in flags
    if name != "db reseal":
        assert {"-q", "--quiet"} <= flags
    assert COMMANDS[name].help, "every command says what it does"
    for parameter in COMMANDS[name].params:
        assert parameter.param_type_name == "argument" or parameter.help, f"{parameter.name} says nothing"


def test_the_version(capsys: Capture) -> None:
    ran = run_farzi(capsys, "--version")
    assert (ran.code, ran.out) == (0, f"farzi {metadata.version('farzi')}\n")


def test_a_machine_is_measured(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farzi_core.calibration, "SECONDS_PER_SHAPE", 0.0)
    monkeypatch.setattr(farzi_core.calibration, "Architecture", Literal["sasrec"])
    ran = run_farzi(capsys, "bench", "--json", "-q")
    measured = json.loads(ran.out)
    assert (ran.code, set(measured["speeds"])) == (0, {"sasrec"})
    assert 0 < measured["training_step_s"]["sasrec"] < 60
    assert measured["speeds"]["sasrec"]["reverse_factor"] >= 1
    monkeypatch.setattr(farzi_core.calibration, "measure_machine", lambda *_arguments, **_fields: REFERENCE)
    shown = run_farzi(capsys, "bench").out
    rows = [line.split() for line in shown.splitlines()[1:]]
    assert {row[0] for row in rows} == set(REFERENCE.speeds)
    assert all(row[-4:] == ["1.00", "times", "as", "fast"] for row in rows)


@pytest.fixture
def _at_service(monkeypatch: pytest.MonkeyPatch, server: UnrulyServer) -> None:
    monkeypatch.setenv("FARZI_API_URL", server.url)
    monkeypatch.setenv("FARZI_API_KEY", "fz_test")


@pytest.mark.usefixtures("_at_service")
def test_ctrl_c_while_a_file_is_validated(server: UnrulyServer, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("user,item,timestamp\n1,2,3\n")
    server.on("POST", "/v1/datasets", reply({"id": "ds_1", "status": "awaiting_upload"}, status=201))
    server.on("PUT", "/v1/datasets/ds_1/content", reply({"id": "ds_1", "status": "validating"}, status=202))
    server.on("GET", "/v1/datasets/ds_1", reply({"id": "ds_1", "status": "validating"}))
    with Terminal("dataset", "upload", str(file), width=200) as terminal:
        terminal.wait_for(lambda text: "validating" in text)
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    assert "the validation goes on without you; look with 'farzi dataset show ds_1'" in terminal.text


@pytest.mark.usefixtures("_at_service")
def test_ctrl_c_while_downloading_keeps_what_arrived(server: UnrulyServer, tmp_path: Path) -> None:
    content, going_on = b"x" * 200_000, threading.Event()
    artifact = {"name": "a.json", "media_type": "-", "size_bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    def send_half(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:100_000])
        handler.wfile.flush()
        going_on.wait(60)
        handler.close_connection = True

    server.on("GET", "/v1/jobs/job_1/artifacts", reply({"data": [artifact], "has_more": False, "next_cursor": None}))
    server.on("GET", "/v1/jobs/job_1/artifacts/a.json", send_half)
    with Terminal("download", "job_1", "-o", str(tmp_path), width=200) as terminal:
        terminal.wait_for(lambda text: "downloading a.json" in text)
        terminal.press(CTRL_C)
        assert terminal.end() == 130
    going_on.set()
    assert "the same command again downloads the rest" in terminal.text
    assert not (tmp_path / "a.json").exists()
