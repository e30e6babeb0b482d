"""``farzi serve`` as a process: it announces where it is, runs jobs, and stops in good order with everything it started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from app.serve import environment_of
from app.settings import Settings
from tests.app.driving import ADMIN, ADMIN_KEY, declare

CODE = "import sys; from pathlib import Path; from app.serve import run; sys.exit(run(address_file=Path(sys.argv[1])))"


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FARZI_")}
    return {**inherited, "OMP_NUM_THREADS": "1", "FARZI_BOOTSTRAP_API_KEY": ADMIN_KEY, **variables}


def wait_for(condition: Callable[[], bool], what: str) -> None:
    give_up_at = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.05)


@contextmanager
def serving(directory: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run the command on a free port; yield its process and its address."""
    address_file, log = directory / "address", directory / "log"
    address_file.unlink(missing_ok=True)
    command = [sys.executable, "-c", CODE, str(address_file)]
    with log.open("ab") as output:
        env = environment(FARZI_PORT="0", FARZI_DATA_DIR=str(directory / "data"), **variables)
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output)
    try:
        wait_for(lambda: address_file.exists() or process.poll() is not None, "no address")
        assert process.poll() is None, log.read_text()
        yield process, address_file.read_text()
    finally:
        process.kill()
        process.wait()


def supervisors(directory: Path) -> list[int]:
    """Return the process ids of the supervisors of this data directory."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                b"worker.supervisor" in (entry / "cmdline").read_bytes()
                and str(directory).encode() in (entry / "environ").read_bytes()
            ):
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def run_to_its_end(**variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "import sys; from app.serve import run; sys.exit(run())"]
    return subprocess.run(command, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False)


def test_it_serves_runs_a_supervisor_and_stops_in_good_order(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, address):
        with httpx.Client(base_url=address, headers=ADMIN) as client:
            assert client.get("/readyz").status_code == 200
            dataset_id = declare(client)
            (first,) = supervisors(tmp_path)
            client.put(f"/v1/datasets/{dataset_id}/content", content=b"user,item,timestamp\n1,2,3\n")
            wait_for(lambda: client.get(f"/v1/datasets/{dataset_id}").json()["status"] in {"ready", "invalid"}, "not validated")
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: any(pid != first for pid in supervisors(tmp_path)), "the supervisor was not started again")
        process.send_signal(signal.SIGTERM)
        assert process.wait(45) in {0, -signal.SIGTERM}
        assert supervisors(tmp_path) == []
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert ADMIN_KEY not in log


@pytest.mark.parametrize(
    ("variables", "exit_code", "sentence"),
    [
        ({"FARZI_PORT": "many"}, 2, "FARZI_PORT: "),
        ({"FARZI_BOOTSTRAP_API_KEY": "short"}, 2, "FARZI_BOOTSTRAP_API_KEY must"),
        ({"FARZI_HOST": "256.0.0.1", "FARZI_PORT": "0"}, 2, "FARZI_HOST, FARZI_PORT: cannot listen on 256.0.0.1"),
        ({"FARZI_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/none"}, 3, "FARZI_DATABASE_URL: the database"),
        ({"FARZI_DATABASE_URL": "nonsense"}, 2, "FARZI_DATABASE_URL: "),
        ({"FARZI_DATABASE_URL": "mysql://a/b"}, 2, "FARZI_DATABASE_URL: the URL's driver is mysql"),
        ({"FARZI_BROKER_URL": "amqp://a", "FARZI_SECRET_KEY": "x" * 32}, 2, "FARZI_BROKER_URL: "),
        ({"FARZI_DATA_DIR": "/dev/null/data"}, 2, "FARZI_DATA_DIR: "),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path: Path, variables: dict[str, str], exit_code: int, sentence: str) -> None:
    done = run_to_its_end(**{"FARZI_DATA_DIR": str(tmp_path)} | variables)
    assert done.returncode == exit_code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if not line.startswith("{")]) == 1


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_to_its_end(FARZI_DATA_DIR=str(tmp_path), FARZI_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "choose another one" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.service
def test_postgres_without_tables_is_refused(tmp_path: Path, empty_postgres_url: str) -> None:
    done = run_to_its_end(FARZI_DATA_DIR=str(tmp_path), FARZI_DATABASE_URL=empty_postgres_url)
    assert done.returncode == 3
    assert "farzi db upgrade" in done.stderr


def test_a_child_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data_dir=tmp_path, bootstrap_api_key=SecretStr(ADMIN_KEY), lease_s=40.0, log_format="console", port=0)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
