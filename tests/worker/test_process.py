"""A run's process: its words are kept, its whole group ends with it, and it ends with whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.services.processes import is_running
from worker import pulse
from worker.process import TAIL_LINES, RunProcess
from worker.pulse import Pulse


def script(text: str) -> list[str]:
    return ["-c", textwrap.dedent(text)]


def wait_until_gone(pid: int, *, timeout_s: float = 5.0) -> None:
    give_up_at = time.monotonic() + timeout_s
    while is_running(pid):
        assert time.monotonic() < give_up_at, f"process {pid} still runs"
        time.sleep(0.02)


def wait_for_pid(path: Path) -> int:
    give_up_at = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < give_up_at, "the process did not start"
        time.sleep(0.02)
    return int(path.read_text())


def test_the_last_lines_of_both_streams_are_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    process = RunProcess(
        script(f"import sys\nfor n in range({TAIL_LINES + 5}): print(n)\nsys.stderr.write('the end ' + 'x' * 9000)\nexit(3)"),
        {"PYTHONUNBUFFERED": "1"},
    )
    assert process.wait(10) == 3
    process.close()
    assert len(process.tail) == TAIL_LINES
    assert process.tail[0] == "6"
    assert process.tail[-1].startswith("the end x")
    assert len(process.tail[-1]) == 500
    assert "the end" in caplog.text


def test_lines_are_text_that_every_database_takes() -> None:
    process = RunProcess(script(r"import sys; sys.stdout.buffer.write(b'a\x00b\xff\n')"), {})
    assert process.wait(10) == 0
    process.close()
    assert process.tail == ["ab\ufffd"]


def test_a_signal_is_told_from_an_exit_code() -> None:
    process = RunProcess(script("import time; time.sleep(60)"), {})
    assert process.wait(0.2) is None
    process.signal_group(signal.SIGKILL)
    assert process.wait(5) == -signal.SIGKILL
    process.close()


def test_what_the_run_started_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    process = RunProcess(
        script(f"""
            import subprocess, sys
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            open({str(pid_file)!r}, "w").write(f"{{child.pid}}\\n")
            child.wait()
        """),
        {},
    )
    grandchild = wait_for_pid(pid_file)
    process.close()
    wait_until_gone(grandchild)


def test_a_run_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    run = f"""
        import os, signal, time
        from worker.lifeline import die_with_standard_input
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        die_with_standard_input()
        open({str(pid_file)!r}, "w").write(f"{{os.getpid()}}\\n")
        time.sleep(60)
    """
    supervisor = subprocess.Popen(
        [
            sys.executable,
            *script(f"""
                from worker.process import RunProcess
                first = RunProcess(["-c", "import time; time.sleep(5)"], {{}})
                RunProcess(["-c", {textwrap.dedent(run)!r}], {{}}).wait(60)
            """),
        ]
    )
    pid = wait_for_pid(pid_file)
    supervisor.kill()
    supervisor.wait()
    wait_until_gone(pid, timeout_s=2.0)


def test_a_process_learns_that_its_parent_is_gone(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = f"""
        import os, threading
        from app.kept_process import call_when_orphaned
        gone = threading.Event()
        call_when_orphaned(os.getppid(), gone.set)
        open({str(pid_file)!r}, "w").write(f"{{os.getpid()}}\\n")
        gone.wait(60)
    """
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {textwrap.dedent(child)!r}]).wait()",
        ]
    )
    pid = wait_for_pid(pid_file)
    parent.kill()
    parent.wait()
    wait_until_gone(pid)


def test_a_supervisor_started_by_a_process_that_is_gone_ends_at_once(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    environment = {**os.environ, "FARZI_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "worker.supervisor", "--parent-pid", str(gone.pid)]
    assert subprocess.run(command, env=environment, check=False, timeout=60).returncode == 0


def test_a_stopped_run_ends_too_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    run = f"""
        import os, signal
        from worker.lifeline import die_with_standard_input
        die_with_standard_input()
        open({str(pid_file)!r}, "w").write(f"{{os.getpid()}}\\n")
        os.kill(os.getpid(), signal.SIGSTOP)
    """
    supervisor = subprocess.Popen(
        [
            sys.executable,
            *script(f"""
                from worker.process import RunProcess
                RunProcess(["-c", {textwrap.dedent(run)!r}], {{}}).wait(60)
            """),
        ]
    )
    pid = wait_for_pid(pid_file)
    supervisor.kill()
    supervisor.wait()
    wait_until_gone(pid)


def test_a_run_is_heard_while_it_is_well_and_silent_when_it_is_stopped_or_stalls() -> None:
    beating = (
        "from worker.pulse import beat_while\nimport time\n"
        "beat_while(lambda: {}, asleep_s=60, on_waking=exit)\nprint('up', flush=True)\ntime.sleep(60)"
    )
    well, stalled = (RunProcess(["-c", beating.format(state)], {}) for state in (True, False))
    try:
        for process in (well, stalled):
            while not process.tail:
                assert process.wait(0.02) is None
        born = stalled.silent_s
        while stalled.silent_s < born + 1.5:
            assert well.wait(0.05) is None
        assert well.silent_s < 1.5, "it beats every second"
        well.signal_group(signal.SIGSTOP)
        well.silent_s  # noqa: B018  what it said before
        while well.silent_s < 1.5:
            assert well.wait(0.05) is None
    finally:
        well.close()
        stalled.close()


def test_who_did_not_listen_cannot_say_that_a_run_was_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "LONGEST_UNHEARD_S", 0.1)
    heard = Pulse()
    try:
        time.sleep(0.5)  # as if this process had been stopped
        assert heard.silent_s() < 0.2
        give_up_at = time.monotonic() + 20
        while heard.silent_s() < 0.3:
            assert time.monotonic() < give_up_at
            time.sleep(0.02)
    finally:
        heard.leave_child_end()
        heard.close()


def test_each_worker_gives_its_runs_the_gpu_that_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for device in ("0", "1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", device)
        process = RunProcess(script("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"), {})
        assert process.wait(10) == 0
        process.close()
        seen += process.tail
    assert seen == ["0", "1"]
