"""What shells are told when somebody presses Tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from farzi_client.cli import shell_completion
from tests.farzi_client.cli import run_farzi
from tests.farzi_client.unruly_server import UnrulyServer, reply

JOBS = [
    {"id": "job_1a", "kind": "distillation", "status": "running", "metadata": {"name": "first"}},
    {"id": "job_2b", "kind": "evaluation", "status": "queued"},
]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _service(monkeypatch: pytest.MonkeyPatch, server: UnrulyServer) -> None:
    monkeypatch.setenv("FARZI_API_URL", server.url)
    monkeypatch.setenv("FARZI_API_KEY", "fz_test")
    monkeypatch.setattr(shell_completion, "PATIENCE_S", 60.0)
    server.on("GET", "/v1/jobs", reply({"data": JOBS, "has_more": False, "next_cursor": None}))
    server.on("GET", "/v1/datasets", reply({"data": [{"id": "ds_1", "name": "clicks", "status": "ready"}], "has_more": False}))


def press_tab(monkeypatch: pytest.MonkeyPatch, capsys: Capture, shell: str, line: str) -> str:
    """Return what the script of a shell gets for a line that is being written."""
    monkeypatch.setenv("_FARZI_COMPLETE", f"complete_{shell}")
    if shell == "bash":
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    else:
        monkeypatch.setenv("_TYPER_COMPLETE_ARGS", line)
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    return run_farzi(capsys).out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_commands_options_and_ids_are_offered(monkeypatch: pytest.MonkeyPatch, capsys: Capture, shell: str) -> None:
    assert "watch" in press_tab(monkeypatch, capsys, shell, "farzi job wa")
    assert "--preset" in press_tab(monkeypatch, capsys, shell, "farzi distill --pre")
    assert "thorough" in press_tab(monkeypatch, capsys, shell, "farzi distill --preset th")
    offered = press_tab(monkeypatch, capsys, shell, "farzi job watch job_1")
    assert "job_1a" in offered
    assert "job_2b" not in offered
    assert "ds_1" in press_tab(monkeypatch, capsys, shell, "farzi distill ")
    both = press_tab(monkeypatch, capsys, shell, "farzi estimate ")
    assert "ds_1" in both
    assert "job_2b" in both
    if shell != "bash":  # bash shows words alone
        assert "first, running" in offered


def test_a_service_that_is_away_leaves_the_prompt_alone(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setenv("FARZI_API_URL", "http://127.0.0.1:9")
    assert press_tab(monkeypatch, capsys, "bash", "farzi job watch ").strip() == ""
    monkeypatch.delenv("FARZI_API_KEY")
    assert press_tab(monkeypatch, capsys, "bash", "farzi job watch ").strip() == ""


def test_the_script_works_in_bash(capsys: Capture, tmp_path: Path) -> None:
    script = run_farzi(capsys, "completion", "bash").out
    command = tmp_path / "farzi"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m farzi_client.cli "$@"\n')
    command.chmod(0o755)
    asked = f'{script}\nCOMP_WORDS=(farzi job wa)\nCOMP_CWORD=2\n_farzi_completion farzi\necho "${{COMPREPLY[@]}}"\n'
    bash = shutil.which("bash") or pytest.fail("bash is missing")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run([bash, "-c", asked], capture_output=True, text=True, check=True, env={**os.environ, "PATH": path})
    assert ran.stdout.strip() == "watch"


@pytest.mark.parametrize(
    ("shell", "words"), [("bash", "complete -o default"), ("zsh", "#compdef farzi"), ("fish", "complete --command farzi")]
)
def test_every_shell_has_a_script(capsys: Capture, shell: str, words: str) -> None:
    ran = run_farzi(capsys, "completion", shell)
    assert (ran.code, words in ran.out) == (0, True)
    assert run_farzi(capsys, "completion", "csh").code == 2
