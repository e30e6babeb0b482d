"""Every page: it is shown, it is safe whatever a user named things, it shows a stranger nothing, and errors are pages too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.testclient import TestClient

from app.dashboard.static_files import FOR_EVER, load_files
from app.main import create_app
from app.services import Services
from app.settings import Settings
from tests.app.dashboard.browsing import Browser, Markup
from tests.app.dashboard.publishing import MARKUP, make_ready_with_report, make_refused, publish_result, run_a_little
from tests.app.driving import ADMIN_KEY, claim_job, declare, submit, upload

PAGES = {
    "home": "/",
    "datasets": "/dashboard/datasets",
    "new data set": "/dashboard/datasets/new",
    "ready": "/dashboard/datasets/{ready}",
    "refused": "/dashboard/datasets/{refused}",
    "awaiting": "/dashboard/datasets/{awaiting}",
    "validating": "/dashboard/datasets/{validating}",
    "delete data set": "/dashboard/datasets/{ready}/delete",
    "jobs": "/dashboard/jobs",
    "choose data set": "/dashboard/jobs/new",
    "builder": "/dashboard/jobs/new?dataset_id={ready}",
    "running": "/dashboard/jobs/{running}",
    "live parts": "/dashboard/jobs/{running}/live",
    "done": "/dashboard/jobs/{done}",
    "delete job": "/dashboard/jobs/{done}/delete",
    "result": "/dashboard/jobs/{done}/result",
    "judge again": "/dashboard/jobs/{done}/evaluate",
    "compare nothing": "/dashboard/compare",
    "compare": "/dashboard/compare?ids={done}&ids={running}",
    "usage": "/dashboard/usage",
    "keys": "/dashboard/keys",
    "revoke key": "/dashboard/keys/{key}/revoke",
    "webhooks": "/dashboard/webhooks",
    "webhook": "/dashboard/webhooks/{endpoint}",
    "delete webhook": "/dashboard/webhooks/{endpoint}/delete",
}


@pytest.fixture(scope="module")
def ids(client: TestClient, services: Services, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One of everything that has a page, all of them the first tenant's."""
    ready = make_ready_with_report(client, services)
    done = publish_result(client, services, ready, tmp_path_factory.mktemp("result"), metadata={"name": MARKUP})
    running = submit(client, ready, metadata={MARKUP[:40]: MARKUP})
    run_a_little(services, claim_job(services, running))
    return {
        "ready": ready,
        "done": done,
        "running": running,
        "refused": make_refused(client, services),
        "awaiting": declare(client),
        "validating": upload(client),
        "key": make(client, "/v1/api-keys", name=MARKUP, scopes=["jobs:read"]),
        "endpoint": make(client, "/v1/webhook-endpoints", url="https://hooks.example.com/farzi", description=MARKUP),
    }


def make(client: TestClient, path: str, **fields: object) -> str:
    answer = client.post(path, json=fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_safe(browser: Browser, ids: dict[str, str], name: str) -> None:
    answer = browser.get(PAGES[name].format(**ids))
    assert answer.status_code == 200, answer.text
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = Markup(answer.text)
    for tag, attributes in page.elements:
        assert tag != "style"
        assert tag != "script" or attributes["src"], "a script has its own file"
        assert not [each for each in attributes if each.startswith("on") or each == "style"], (tag, attributes)
        for link in (attributes.get("href"), attributes.get("src"), attributes.get("action"), attributes.get("formaction")):
            assert link is None or link.startswith(("/", "#main")), link
    assert "<script>alert" not in answer.text
    assert "onerror=alert" not in "".join(str(value) for tag, value in page.elements if tag == "img")
    assert not page.attributes("img")
    assert ADMIN_KEY not in answer.text
    for form in page.attributes("form", method="post"):
        assert form["action"] is None or "?" not in form["action"]


@pytest.mark.parametrize("name", ["ready", "done", "running", "result", "compare", "jobs", "datasets", "keys", "webhooks"])
def test_names_are_shown_as_they_are(browser: Browser, ids: dict[str, str], name: str) -> None:
    assert MARKUP in browser.look(PAGES[name].format(**ids)).text


@pytest.mark.parametrize("name", [name for name, path in PAGES.items() if "{" in path])
def test_a_stranger_sees_what_an_unknown_id_shows(stranger: Browser, ids: dict[str, str], name: str) -> None:
    answer = stranger.get(PAGES[name].format(**ids))
    unknown = stranger.get(PAGES[name].format(**{key: f"{value[:-4]}0000" for key, value in ids.items()}))
    assert (answer.status_code, unknown.status_code) == (404, 404)
    said, of_unknown = (Markup(each.text).text.rpartition("Request id")[0] for each in (answer, unknown))
    assert said == of_unknown
    assert MARKUP not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/dashboard/datasets/{ready}/delete",
        "/dashboard/jobs/{running}/cancel",
        "/dashboard/jobs/{running}/pause",
        "/dashboard/jobs/{running}/resume",
        "/dashboard/jobs/{done}/retry",
        "/dashboard/jobs/{done}/delete",
        "/dashboard/keys/{key}/revoke",
        "/dashboard/webhooks/{endpoint}/disable",
        "/dashboard/webhooks/{endpoint}/rotate",
        "/dashboard/webhooks/{endpoint}/test",
        "/dashboard/webhooks/{endpoint}/delete",
    ],
)
def test_a_stranger_changes_nothing(stranger: Browser, client: TestClient, ids: dict[str, str], path: str) -> None:
    assert stranger.send(path.format(**ids)).status_code == 404
    assert client.get(f"/v1/jobs/{ids['running']}").json()["status"] == "running"
    assert client.get(f"/v1/datasets/{ids['ready']}").status_code == 200
    assert client.get(f"/v1/jobs/{ids['done']}").status_code == 200
    assert client.get(f"/v1/api-keys/{ids['key']}").json()["revoked_at"] is None
    assert client.get(f"/v1/webhook-endpoints/{ids['endpoint']}").json()["enabled"]


def test_a_stranger_downloads_and_hears_nothing(stranger: Browser, ids: dict[str, str]) -> None:
    for path in ("/artifacts/report.json", "/events"):
        assert stranger.get(f"/dashboard/jobs/{ids['done']}{path}").status_code == 404
    body = {"dataset_id": ids["ready"], "preset": "quick"}
    assert stranger.send("/dashboard/jobs", **body).status_code == 404
    assert (
        stranger.http.put(
            f"/dashboard/datasets/{ids['awaiting']}/content", content=b"x", headers={"X-CSRF-Token": stranger.csrf_token}
        ).status_code
        == 404
    )


@pytest.mark.parametrize(
    ("scopes", "allowed", "refused"),
    [
        (
            ["jobs:read"],
            ["/dashboard/jobs", "/dashboard/jobs/{done}/result", "/dashboard/usage"],
            ["/dashboard/datasets", "/dashboard/jobs/new", "/dashboard/keys", "/dashboard/webhooks"],
        ),
        (
            ["datasets:read"],
            ["/dashboard/datasets/{ready}"],
            ["/dashboard/jobs", "/dashboard/datasets/new", "/dashboard/compare"],
        ),
    ],
)
def test_scopes_are_those_of_the_key(
    application: FastAPI, client: TestClient, ids: dict[str, str], scopes: list[str], allowed: list[str], refused: list[str]
) -> None:
    browser = Browser(application)
    browser.sign_in(client.post("/v1/api-keys", json={"name": "few", "scopes": scopes}).json()["key"])
    assert browser.look("/")
    for path in allowed:
        assert browser.look(path.format(**ids))
    for path in refused:
        answer = browser.get(path.format(**ids))
        assert answer.status_code == 403
        assert "This needs scope" in answer.text
    for path in ("/dashboard/datasets/{ready}/delete", "/dashboard/jobs/{running}/cancel"):
        assert browser.send(path.format(**ids)).status_code == 403
    if "jobs:read" in scopes:
        assert not browser.look(f"/dashboard/jobs/{ids['running']}").attributes("button", id="do-cancel"), "it may not"


def test_errors_are_pages_for_people_and_documents_for_programs(browser: Browser) -> None:
    for path, status in (("/dashboard/jobs/job_0", 404), ("/nope", 404), ("/dashboard/jobs?cursor=x", 422)):
        answer = browser.get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        page = Markup(answer.text)
        assert answer.headers["x-request-id"] in page.text
        assert "What to do:" in page.text
        assert "'unsafe" not in answer.headers["content-security-policy"]
        document = browser.get(path, headers={"Accept": "application/json"})
        assert document.headers["content-type"] == "application/problem+json"
        assert document.json()["detail"] in page.text
    for path in ("/v1/nope", "/healthz/nope"):
        assert browser.get(path).headers["content-type"] == "application/problem+json", "paths of programs never answer pages"
    assert browser.http.delete("/dashboard/jobs").headers["allow"]


def test_rate_limits_hold_for_pages_and_say_when_to_come_back(tmp_path: Path) -> None:
    fields = {"data_dir": tmp_path, "bootstrap_api_key": ADMIN_KEY, "rate_limit_per_s": 0.01, "rate_limit_burst": 2}
    application = create_app(Settings.model_validate(fields))
    with TestClient(application):
        browser = Browser(application)
        browser.sign_in(ADMIN_KEY)
        assert [browser.get("/dashboard/jobs").status_code for _ in range(2)] == [200, 200]
        answer = browser.get("/dashboard/jobs")
        assert answer.status_code == 429
        assert f"Try again in {answer.headers['retry-after']} s" in Markup(answer.text).text
        assert Markup(answer.text).attributes("a", href="/dashboard/jobs")
        api = browser.http.get("/v1/jobs", headers={"Authorization": f"Bearer {ADMIN_KEY}"})
        assert api.status_code == 429, "pages and API share one limit"


def test_a_database_that_fails_is_a_page_with_a_remedy(tmp_path: Path) -> None:
    fields = {"data_dir": tmp_path, "bootstrap_api_key": ADMIN_KEY}
    application = create_app(Settings.model_validate(fields))
    with TestClient(application):
        browser = Browser(application)
        browser.sign_in(ADMIN_KEY)
        services: Services = application.state.services
        with services.engine.begin() as connection:
            connection.execute(text("ALTER TABLE jobs RENAME TO lost"))
        answer = browser.get("/dashboard/jobs")
        assert answer.status_code == 503
        page = Markup(answer.text)
        assert "Repeat the request a little later." in page.text
        assert "lost" not in page.text


def test_static_files_are_kept_for_ever_under_their_version(application: FastAPI) -> None:
    browser = Browser(application)
    page = Markup(browser.get("/").text)
    (sheet,) = page.attributes("link", rel="stylesheet")
    answer = browser.get(str(sheet["href"]))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, FOR_EVER)
    assert answer.headers["content-type"].startswith("text/css")
    old = browser.get("/dashboard/static/0000000000000000/dashboard.css")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-store")
    assert browser.get("/dashboard/static/0/..%2fsession.py").status_code == 404
    for name, content in load_files().items():
        assert not re.search(rb"innerHTML\s*=[^=]|eval\(|localStorage|document\.cookie", content), name
        assert name == "icon.svg" or not re.search(rb"https?://", content), f"{name} names another host"
