"""What is particular to the asynchronous client: tasks that are cancelled, and callbacks that are awaited."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from farzi_client import AsyncClient, JobEvent
from farzi_client._async.concurrency import for_each
from tests.farzi_client.blocking import in_own_thread
from tests.farzi_client.unruly_server import Handler, UnrulyServer, reply, sse

CONTENT = b"user,item,timestamp\n1,2,3\n"
UPLOADS = "/v1/datasets/ds_1/uploads"
RUNNING = reply({"id": "job_1", "status": "running"})


class Held:
    """A request that arrives and is not answered until the test is over."""

    def __init__(self) -> None:
        self.arrived, self.released = threading.Event(), threading.Event()

    def __call__(self, handler: Handler) -> None:
        self.arrived.set()
        self.released.wait(60)
        handler.close_connection = True


@pytest.fixture
def held() -> Iterator[Held]:
    step = Held()
    yield step
    step.released.set()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_bytes(CONTENT)
    return path


async def cancel_when(arrived: threading.Event, task: asyncio.Task[object]) -> None:
    """Cancel a task once its request is with the server, and see that nothing else of it goes on."""
    assert await asyncio.to_thread(arrived.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_cancelled_upload_leaves_no_declaration_behind(server: UnrulyServer, held: Held, file: Path) -> None:
    server.on("POST", "/v1/datasets", reply({"id": "ds_1", "status": "awaiting_upload"}, status=201))
    server.on("PUT", "/v1/datasets/ds_1/content", held)
    server.on("DELETE", "/v1/datasets/ds_1", reply(b"", status=204))

    async def upload() -> None:
        async with AsyncClient("fz_test", base_url=server.url) as client:
            await cancel_when(held.arrived, asyncio.create_task(client.datasets.upload(file, format="csv")))

    in_own_thread(asyncio.run, upload())
    assert len(server.requests("DELETE", "/v1/datasets/ds_1")) == 1


def test_a_cancelled_upload_in_parts_keeps_them(server: UnrulyServer, held: Held, file: Path) -> None:
    size, sha256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
    part = {"number": 1, "offset_bytes": 0, "size_bytes": size, "url": f"{UPLOADS}/upl_1/parts/1"}
    upload = {"id": "upl_1", "status": "open", "size_bytes": size, "sha256": sha256, "part_size_bytes": 1 << 24}
    server.on("POST", "/v1/datasets", reply({"id": "ds_1", "status": "awaiting_upload"}, status=201))
    server.on("POST", UPLOADS, reply({**upload, "missing_parts": [part]}, status=201))
    server.on("PUT", f"{UPLOADS}/upl_1/parts/1", held)

    async def send() -> None:
        async with AsyncClient("fz_test", base_url=server.url) as client:
            task = asyncio.create_task(client.datasets.upload(file, format="csv", parts_from_bytes=1))
            await cancel_when(held.arrived, task)

    in_own_thread(asyncio.run, send())
    assert server.requests("DELETE", "/v1/datasets/ds_1") == []


def test_a_cancelled_wait_ends_with_its_stream_and_its_looks_at_the_job(server: UnrulyServer, held: Held) -> None:
    server.on("GET", "/v1/jobs/job_1", RUNNING)
    server.on("GET", "/v1/jobs/job_1/events/stream", sse((1, "job.started"), then=held))
    seen: list[str] = []

    async def note(event: JobEvent) -> None:
        await asyncio.sleep(0)
        seen.append(event.type)

    async def wait() -> None:
        async with AsyncClient("fz_test", base_url=server.url) as client:
            waiting = client.jobs.wait("job_1", on_event=note, on_progress=lambda job: None)
            await cancel_when(held.arrived, asyncio.create_task(waiting))

    in_own_thread(asyncio.run, wait())
    assert seen in ([], ["job.started"])


def test_the_first_error_of_many_stops_the_rest_and_comes_out() -> None:
    stopped: list[int] = []

    async def one(number: int) -> None:
        if number == 0:
            raise ZeroDivisionError
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(number)

    async def all_of_them() -> None:
        with pytest.raises(ZeroDivisionError):
            await for_each(one, range(100), limit=4)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_own_thread(asyncio.run, all_of_them())
    assert len(stopped) <= 4
