"""Pages of the account: usage, keys and webhooks, as an administrator uses them in a browser."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.testclient import TestClient

from app.clock import database_now
from app.jobs.models import Run
from app.jobs.states import RunOutcome
from app.services import Services
from app.tenants.usage import begin_of_month
from tests.app.dashboard.browsing import Browser, Markup
from tests.app.dashboard.publishing import make_ready_with_report
from tests.app.driving import ADMIN, ADMIN_KEY, claim_job, submit

HOOK = "https://hooks.example.com/farzi"


def shown_secret(html: str) -> str:
    page = Markup(html)
    assert page.attributes("pre", id="secret")
    return html.partition('id="secret">')[2].partition("<")[0]


def test_usage_shows_what_is_used_and_what_ran(browser: Browser, client: TestClient, services: Services) -> None:
    dataset_id = make_ready_with_report(client, services, "used")
    lease = claim_job(services, submit(client, dataset_id))
    with services.sessions.begin() as session:
        month = begin_of_month(database_now(session))
        for run in session.scalars(select(Run)):
            run.started_at, run.ended_at = month - timedelta(hours=2), month - timedelta(hours=1)
            run.outcome = RunOutcome.SUCCEEDED
    assert browser.look("/dashboard/usage").text.count("this month 0 ms") == 2, "what ran before it is not of this month"
    with services.sessions.begin() as session:
        began_at = database_now(session) - timedelta(seconds=90)
        for run in session.scalars(select(Run)):
            run.started_at = run.ended_at = began_at
            if run.job_id == lease.job_id:
                run.ended_at = run.outcome = None
    used = client.get("/v1/usage").json()
    page = browser.look("/dashboard/usage")
    assert f"Data sets {used['datasets']} " in page.text
    assert [each["href"] for each in page.attributes("a") if str(each["href"]).startswith("/dashboard/keys")]
    (chart,) = [str(each["aria-label"]) for each in page.attributes("svg", role="img")]
    assert re.match(
        r"Seconds of runs by day, queue (gpu|cpu): 31 bars, from .* the highest is \d{4}-\d\d-\d\d with [1-9]\d+\.", chart
    )


def test_a_key_is_made_shown_once_and_revoked(application: FastAPI, browser: Browser, client: TestClient) -> None:
    form = {"name": "for ci", "scope.jobs:read": "on", "scope.datasets:read": "on", "expires_in_days": "30"}
    answer = browser.send("/dashboard/keys", **form, own_key=ADMIN_KEY, idempotency_key="once")
    assert answer.status_code == 200, answer.text
    key = shown_secret(answer.text)
    assert answer.headers["cache-control"] == "no-store"
    (made,) = [each for each in client.get("/v1/api-keys").json()["data"] if each["name"] == "for ci"]
    assert sorted(made["scopes"]) == ["datasets:read", "jobs:read"]
    assert made["expires_at"] is not None
    other = Browser(application)
    assert other.sign_in(key).status_code == 303
    assert other.get("/dashboard/jobs").status_code == 200

    again = browser.send("/dashboard/keys", **form, own_key=ADMIN_KEY, idempotency_key="once")
    assert "shown then" in Markup(again.text).text
    assert key not in again.text
    assert key not in browser.get("/dashboard/keys").text

    assert "stops working at once" in browser.look(f"/dashboard/keys/{made['id']}/revoke").text
    assert browser.send(f"/dashboard/keys/{made['id']}/revoke").headers["location"] == "/dashboard/keys"
    assert other.get("/dashboard/jobs").status_code == 303, "its sessions are over"
    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {key}"}).status_code == 401


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"own_key": "fz_another"}, "enter the key that you signed in with"),
        ({"own_key": ""}, "enter the key that you signed in with"),
        ({"name": " "}, "/name"),
        ({"expires_in_days": "0"}, "give whole days from 1"),
        ({"expires_in_days": "soon"}, "give whole days from 1"),
        ({"expires_in_days": "9" * 5000}, "give whole days from 1"),
        ({"scope.jobs:read": None}, "/scopes"),
    ],
)
def test_a_key_is_not_made_for_a_bad_form(
    browser: Browser, client: TestClient, fields: dict[str, str | None], said: str
) -> None:
    before = client.get("/v1/api-keys").json()["data"]
    form = {"name": "kept", "scope.jobs:read": "on", "own_key": ADMIN_KEY, **fields}
    answer = browser.send("/dashboard/keys", **{name: value for name, value in form.items() if value is not None})
    assert answer.status_code == 422
    assert said in Markup(answer.text).text
    if fields.get("name") is None:
        assert Markup(answer.text).attributes("input", name="name", value="kept"), "what was filled in stays"
    assert client.get("/v1/api-keys").json()["data"] == before


def test_a_session_with_somebody_elses_key_makes_none(browser: Browser, client: TestClient) -> None:
    other = client.post("/v1/api-keys", json={"name": "second", "scopes": ["admin"]}, headers=ADMIN).json()["key"]
    answer = browser.send("/dashboard/keys", **{"name": "x", "scope.admin": "on", "own_key": other})
    assert answer.status_code == 422


def test_an_endpoint_is_made_tried_stopped_and_deleted(browser: Browser, client: TestClient) -> None:
    form = {"url": HOOK, "description": "of the shop", "type.job.failed": "on", "type.dataset.ready": "on"}
    answer = browser.send("/dashboard/webhooks", **form, idempotency_key="hook")
    secret = shown_secret(answer.text)
    assert secret.startswith("whsec_")
    assert "shown then" in Markup(browser.send("/dashboard/webhooks", **form, idempotency_key="hook").text).text
    (made,) = [each for each in client.get("/v1/webhook-endpoints").json()["data"] if each["description"] == "of the shop"]
    assert sorted(made["event_types"]) == ["dataset.ready", "job.failed"]
    page = f"/dashboard/webhooks/{made['id']}"

    assert browser.send(f"{page}/test").headers["location"] == page
    shown = browser.look(page)
    assert "webhook.test" in shown.text
    (delivery,) = client.get(f"/v1/deliveries?endpoint_id={made['id']}").json()["data"]
    assert browser.send(f"{page}/deliveries/{delivery['id']}/replay").headers["location"] == page
    assert secret not in browser.get(page).text

    assert browser.send(f"{page}/disable").status_code == 303
    assert "stopped, requested" in browser.look(page).text
    assert browser.send(f"{page}/enable").status_code == 303
    assert client.get(f"/v1/webhook-endpoints/{made['id']}").json()["enabled"]
    assert shown_secret(browser.send(f"{page}/rotate").text) != secret
    assert browser.send(f"{page}/delete").headers["location"] == "/dashboard/webhooks"
    assert browser.get(page).status_code == 404


def test_an_endpoint_that_may_not_be_is_refused_with_the_reason(browser: Browser) -> None:
    answer = browser.send("/dashboard/webhooks", url="http://127.0.0.1/hook", description="mine")
    assert answer.status_code == 422
    page = Markup(answer.text)
    assert "https" in page.text
    assert page.attributes("input", name="description", value="mine")
