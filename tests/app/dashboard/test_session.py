"""Signing in and out: what the cookie is, what it opens, when it is over; and who may send forms."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.dashboard.forms import own_path
from app.dashboard.session import COOKIE_NAME, LIFETIME_S, SessionSeal
from app.db import new_id
from app.services import Services
from tests.app.dashboard.browsing import Browser, Markup
from tests.app.driving import ADMIN_KEY, add_tenant_with_key, code_of, declare

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


def test_the_first_page_asks_for_a_key(application: FastAPI) -> None:
    answer = Browser(application).get("/")
    assert answer.status_code == 200
    page = Markup(answer.text)
    assert page.attributes("input", name="api_key", type="password")
    assert not page.attributes("nav"), "there is nowhere to go yet"


def test_a_key_becomes_a_cookie_that_does_not_hold_it(application: FastAPI) -> None:
    browser = Browser(application)
    answer = browser.sign_in(ADMIN_KEY, next="/dashboard/jobs")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/jobs")
    cookie = answer.headers["set-cookie"]
    assert ADMIN_KEY not in cookie
    parts = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={LIFETIME_S}"} <= parts
    assert "secure" not in parts, "this connection is not encrypted"
    for path in ("/", "/dashboard/jobs", "/dashboard/datasets", "/dashboard/datasets/new", "/dashboard/nope"):
        assert ADMIN_KEY not in browser.get(path).text


def test_behind_https_the_cookie_is_secure(application: FastAPI) -> None:
    headers = {"Origin": "https://testserver"}
    answer = Browser(application).http.post("/dashboard/sign-in", data={"api_key": ADMIN_KEY}, headers=headers)
    assert "; secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    ("key", "said"), [("", "Enter an API key"), ("fz_" + "x" * 38, "checksum"), ("nonsense", "not known here")]
)
def test_a_wrong_key_is_refused_with_its_reason(application: FastAPI, key: str, said: str) -> None:
    answer = Browser(application).sign_in(key, next="/dashboard/jobs")
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    page = Markup(answer.text)
    assert said in page.text
    assert page.attributes("p", role="alert")
    assert page.fields()["next"] == "/dashboard/jobs"
    assert not page.fields()["api_key"]


def test_without_a_session_pages_lead_to_the_sign_in_page_and_back(application: FastAPI) -> None:
    browser = Browser(application)
    answer = browser.get("/dashboard/jobs?status=failed")
    assert answer.status_code == 303
    page = browser.look(answer.headers["location"])
    assert page.fields()["next"] == "/dashboard/jobs?status=failed"
    assert browser.send("/dashboard/sign-out").headers["location"] == "/dashboard/sign-in"
    assert code_of(browser.get("/dashboard/jobs", headers={"Accept": "application/json"}), 401) == "session_over"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "jobs", "", "/a b", "/\r\nX: y"]
)
def test_no_other_site_is_gone_to(application: FastAPI, target: str) -> None:
    assert own_path(target) == "/"
    assert Browser(application).sign_in(ADMIN_KEY, next=target).headers["location"] == "/"
    assert Browser(application).http.post("/dashboard/theme", data={"next": target}).headers["location"] == "/"


def test_signing_out_takes_the_cookie_away(application: FastAPI) -> None:
    browser = Browser(application)
    browser.sign_in(ADMIN_KEY)
    assert browser.look("/dashboard/jobs")
    answer = browser.send("/dashboard/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/sign-in")
    assert COOKIE_NAME not in browser.http.cookies
    assert browser.get("/dashboard/jobs").status_code == 303


def test_a_key_that_is_revoked_ends_its_sessions(application: FastAPI, client: TestClient) -> None:
    made = client.post("/v1/api-keys", json={"name": "short", "scopes": ["jobs:read"]}).json()
    browser = Browser(application)
    browser.sign_in(made["key"])
    assert browser.look("/dashboard/jobs")
    assert client.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    answer = browser.get("/dashboard/jobs")
    assert answer.status_code == 303
    assert COOKIE_NAME not in browser.http.cookies
    assert "The API key was revoked" in browser.look(answer.headers["location"]).text
    assert Markup(browser.get("/").text).attributes("input", name="api_key")


def test_a_cookie_is_read_only_as_it_was_made() -> None:
    now = 1_000_000.0
    seal, other = SessionSeal(b"s" * 32, lambda: now), SessionSeal(b"t" * 32, lambda: now)
    key_id = new_id("key")
    cookie = seal.begin(key_id)
    session = seal.open(cookie)
    assert session is not None
    assert session.key_id == key_id
    assert session.owns(session.csrf_token)
    assert not session.owns(None)
    assert other.open(cookie) is None
    assert seal.begin(key_id) != cookie, "two sessions of one key are not the same"
    for changed in (cookie.replace(key_id, new_id("key")), cookie[:-1], cookie + "0", "", cookie.replace("1000000", "1000001")):
        assert seal.open(changed) is None
    now += LIFETIME_S - 1
    assert seal.open(cookie) is not None
    now += 1
    assert seal.open(cookie) is None
    now -= 2 * LIFETIME_S
    assert seal.open(cookie) is None, "it was not made yet"


def test_a_session_opens_nothing_of_the_api(browser: Browser) -> None:
    assert code_of(browser.http.get("/v1/jobs"), 401) == "missing_api_key"
    assert code_of(browser.http.post("/v1/datasets", json={}), 401) == "missing_api_key"


def test_forms_of_other_sites_and_sessions_change_nothing(
    application: FastAPI, services: Services, client: TestClient, browser: Browser
) -> None:
    dataset_id = declare(client)
    path = f"/dashboard/datasets/{dataset_id}/delete"
    other = Browser(application)
    other.sign_in(add_tenant_with_key(services))
    for token in ("", "0" * 64, other.csrf_token):
        answer = browser.http.post(path, data={"csrf_token": token})
        assert answer.status_code == 403
        assert "csrf_refused" in answer.text
    right = {"csrf_token": browser.csrf_token}
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ):
        assert browser.http.post(path, data=right, headers=headers).status_code == 403
        assert (
            Browser(application).http.post("/dashboard/sign-in", data={"api_key": ADMIN_KEY}, headers=headers).status_code
            == 403
        )
    put = browser.http.put(f"/dashboard/datasets/{dataset_id}/content", content=b"x")
    assert put.status_code == 403
    assert client.get(f"/v1/datasets/{dataset_id}").json()["status"] == "awaiting_upload"
    assert browser.http.post(path, data=right, headers=SAME_SITE).status_code == 303
    assert client.get(f"/v1/datasets/{dataset_id}").status_code == 404


def test_forms_are_read_strictly(browser: Browser) -> None:
    token = browser.csrf_token
    json_body = browser.http.post("/dashboard/sign-out", json={"csrf_token": token})
    assert json_body.status_code == 415
    many = "&".join(f"a{index}=1" for index in range(501))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.http.post("/dashboard/jobs", content=many, headers=form).status_code == 400
    assert browser.http.post("/dashboard/jobs", content=b"\xff=1", headers=form).status_code == 400
    assert browser.send("/dashboard/jobs", dataset_id="a\0b").status_code == 422
    assert browser.http.post("/dashboard/jobs", content=b"a" * (1 << 21), headers=form).status_code == 413


def test_the_theme_is_kept_without_scripts(application: FastAPI) -> None:
    browser = Browser(application)
    assert 'data-theme="' not in browser.get("/").text
    answer = browser.http.post("/dashboard/theme", data={"theme": "dark", "next": "/dashboard/sign-in"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/dashboard/sign-in")
    assert '<html lang="en" data-theme="dark">' in browser.get("/").text
    browser.http.post("/dashboard/theme", data={"theme": '"><script>'})
    assert 'data-theme="' not in browser.get("/").text
