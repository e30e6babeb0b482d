"""``Idempotency-Key`` on every POST, under concurrency, and after a day."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from inspect import signature

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from app.expiry import IDEMPOTENCY_KEPT_FOR
from app.idempotency import Post
from app.jobs.models import IdempotencyRecord
from app.main import ROUTERS
from app.services import Services
from tests.app.driving import ADMIN, RunningServer, code_of

TEXT = {"name": "x", "task": "language_modeling", "format": "text"}
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
POSTS = [route for route in ROUTES if "POST" in (route.methods or ()) and route.path.startswith("/v1/")]


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route.name)
def test_every_post_is_carried_out_once(route: APIRoute) -> None:
    assert len(POSTS) > 10
    annotations = [str(parameter.annotation) for parameter in signature(route.endpoint).parameters.values()]
    assert any(name.endswith("Post") or Post.__name__ in name for name in annotations), "its endpoint does not ask for a Post"


@pytest.fixture
def live(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers=ADMIN, timeout=30) as client:
        yield client


def test_of_many_requests_at_once_one_is_carried_out(live: httpx.Client) -> None:
    together = threading.Barrier(16)

    def send() -> httpx.Response:
        together.wait()
        return live.post("/v1/datasets", json=TEXT, headers={"Idempotency-Key": "at once"})

    with ThreadPoolExecutor(16) as threads:
        answers = [future.result() for future in [threads.submit(send) for _ in range(16)]]
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
    for answer in answers:
        if answer not in made:
            assert code_of(answer, 409) == "idempotency_key_in_flight"
            assert answer.headers["retry-after"]
    assert len(live.get("/v1/datasets").json()["data"]) == 1


def test_while_one_is_carried_out_the_other_is_told_so(client: TestClient, services: Services) -> None:
    tenant_id = services.authenticator.authenticate(ADMIN["Authorization"]).tenant_id
    headers = {"Idempotency-Key": "busy"}
    with services.keys_in_flight.hold(tenant_id, "busy"):
        busy = client.post("/v1/datasets", json=TEXT, headers=headers)
        assert code_of(busy, 409) == "idempotency_key_in_flight"
        assert busy.headers["retry-after"]
    assert client.post("/v1/datasets", json=TEXT, headers=headers).status_code == 201


def test_a_key_is_forgotten_after_a_day(client: TestClient, services: Services) -> None:
    headers = {"Idempotency-Key": "old"}
    first = client.post("/v1/datasets", json=TEXT, headers=headers).json()["id"]
    assert client.post("/v1/datasets", json=TEXT, headers=headers).json()["id"] == first
    with services.sessions.begin() as session:
        for record in session.query(IdempotencyRecord):
            record.created_at = record.created_at - IDEMPOTENCY_KEPT_FOR - timedelta(seconds=1)
    again = client.post("/v1/datasets", json=TEXT | {"name": "y"}, headers=headers)
    assert again.status_code == 201
    assert again.json()["id"] != first
    assert "idempotent-replayed" not in again.headers
