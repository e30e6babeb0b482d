"""``farzi serve`` with several processes: one port, one set of metrics; and an end that drops nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from app.http_server import Server
from tests.app.driving import ADMIN, CONTENT, declare
from tests.app.test_serve import serving, wait_for
from tests.services.processes import is_running

PROCESSES = pytest.mark.parametrize("processes", ["1", "2"])


def children(parent: int, module: bytes) -> list[int]:
    """Return the process ids of a server's children that run ``module``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_child = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            if is_child and module in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return sorted(found)


def requests_counted(address: str) -> float:
    """Return how many requests for /healthz all processes have answered, as any one of them tells it."""
    prefix = 'farzi_http_requests_total{method="GET",route="/healthz",status="200"} '
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    return sum(float(line.removeprefix(prefix)) for line in lines if line.startswith(prefix))


def test_processes_share_a_port_and_their_metrics(tmp_path: Path) -> None:
    with serving(tmp_path, FARZI_API_PROCESSES="2") as (process, address):
        wait_for(lambda: len(children(process.pid, b"app.http_server")) == 2, "two processes")
        for _ in range(40):
            assert httpx.get(f"{address}/healthz").status_code == 200
        assert {requests_counted(address) for _ in range(6)} == {40.0}
        first, second = children(process.pid, b"app.http_server")
        os.kill(first, signal.SIGKILL)
        for _ in range(10):
            wait_for(lambda: answers(address), "an answer from the other")
        wait_for(lambda: first not in (now := children(process.pid, b"app.http_server")) and len(now) == 2, "a new process")
        assert requests_counted(address) >= 50.0, "what a dead process counted stays counted"
        process.terminate()
        assert process.wait(45) == 0
        assert not is_running(second)
    assert "Traceback" not in (tmp_path / "log").read_text()


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz", timeout=5).status_code == 200
    except httpx.TransportError:  # it was accepted by the process that was killed
        return False


def test_processes_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    with serving(tmp_path, FARZI_API_PROCESSES="2") as (process, _):
        wait_for(lambda: len(children(process.pid, b"app.http_server")) == 2, "two processes")
        left = children(process.pid, b"app.http_server")
        process.kill()
        wait_for(lambda: not any(is_running(pid) for pid in left), "the end of the processes")


def test_the_handler_of_a_signal_takes_no_lock() -> None:
    class Locked(threading.Event):
        """An event whose lock the main thread holds when the signal comes."""

        def set(self) -> None:
            raise AssertionError("waits for ever")

    server = Server(uvicorn.Config(app="none"), Locked(), "http://127.0.0.1:0", None)
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit


@PROCESSES
def test_streams_end_first_and_an_upload_under_way_is_taken(tmp_path: Path, processes: str) -> None:
    with serving(tmp_path, FARZI_API_PROCESSES=processes) as (process, address):
        with httpx.Client(base_url=address, headers=ADMIN, timeout=30) as client:
            dataset_id, job_id = declare(client), queued_job(client, process)
            began, go_on, stream_over = threading.Event(), threading.Event(), threading.Event()
            results: list[httpx.Response] = []

            def body() -> Iterator[bytes]:
                yield CONTENT[:10]
                began.set()
                go_on.wait(30)
                yield CONTENT[10:]

            def upload() -> None:
                results.append(
                    httpx.put(f"{address}/v1/datasets/{dataset_id}/content", content=body(), headers=ADMIN, timeout=30)
                )

            uploading = threading.Thread(target=upload)
            uploading.start()
            assert began.wait(30)
            with client.stream("GET", f"/v1/jobs/{job_id}/events/stream") as stream:
                lines = stream.iter_lines()
                assert next(lines) == ": connected"
                process.send_signal(signal.SIGTERM)
                for _ in lines:
                    pass
                stream_over.set()
            assert stream_over.is_set()
            assert process.poll() is None, "the server waits for the upload"
            go_on.set()
            uploading.join(30)
            assert [answer.status_code for answer in results] == [202]
        assert process.wait(45) == 0
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log


def queued_job(client: httpx.Client, process: subprocess.Popen[bytes]) -> str:
    """Return the id of a job that waits and whose stream therefore stays open: paused as soon as it was submitted."""
    dataset_id = declare(client)
    rows = "".join(f"{user},{item},{item}\n" for user in range(30) for item in range(30))
    client.put(f"/v1/datasets/{dataset_id}/content", content=f"user,item,timestamp\n{rows}".encode()).raise_for_status()
    wait_for(lambda: client.get(f"/v1/datasets/{dataset_id}").json()["status"] == "ready", f"validation by {process.pid}")
    spec = {"preset": "quick", "synthetic": {"num_sequences": 5, "sequence_length": 10}}
    submitted = client.post("/v1/jobs", json={"kind": "distillation", "dataset_id": dataset_id, "spec": spec})
    assert submitted.status_code == 202, submitted.text
    job_id: str = submitted.json()["id"]
    client.post(f"/v1/jobs/{job_id}/pause").raise_for_status()
    return job_id
