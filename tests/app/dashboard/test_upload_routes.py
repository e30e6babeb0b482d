"""Files in parts, as the script of the upload form sends them."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from app.services import Services
from app.tenants.schemas import Scope
from tests.app.dashboard.browsing import Browser
from tests.app.driving import CONTENT, add_tenant_with_key, code_of, declare

PART_BYTES = 5 << 20
JSON = {"Accept": "application/json"}
FILE = CONTENT * (PART_BYTES // len(CONTENT) + 1)
OTHER = FILE[::-1]


def post(browser: Browser, path: str, **fields: str | int) -> Any:
    return browser.http.post(path, data=fields, headers={**JSON, "X-CSRF-Token": browser.csrf_token})


def begin(browser: Browser, dataset_id: str, content: bytes, **fields: str) -> Any:
    sha256 = hashlib.sha256(content).hexdigest()
    file: dict[str, str | int] = {"size_bytes": len(content), "sha256": sha256, "part_size_bytes": PART_BYTES}
    return post(browser, f"/dashboard/datasets/{dataset_id}/uploads", **file, **fields)


def send(browser: Browser, part: dict[str, Any], content: bytes) -> Any:
    headers = {**JSON, "X-CSRF-Token": browser.csrf_token}
    return browser.http.put(part["target"], content=content[part["offset_bytes"] :][: part["size_bytes"]], headers=headers)


def test_parts_that_are_there_are_not_asked_for_again(browser: Browser, client: TestClient) -> None:
    dataset_id = declare(client)
    page = f"/dashboard/datasets/{dataset_id}"
    assert not browser.look(page).attributes("p", id="begun")
    begun = begin(browser, dataset_id, FILE).json()["upload"]
    first, second = begun["missing"]
    assert send(browser, first, FILE).json()["number"] == 1
    assert "An upload of 5.24 MB was begun, and 5.24 MB are there." in browser.look(page).text
    again = begin(browser, dataset_id, FILE).json()["upload"]
    assert (again["id"], again["missing"]) == (begun["id"], [second])
    assert code_of(post(browser, begun["complete"]), 409) == "upload_incomplete"
    assert send(browser, second, FILE).status_code == 200
    assert post(browser, begun["complete"]).status_code == 202
    found = client.get(f"/v1/datasets/{dataset_id}").json()
    assert (found["status"], found["sha256"]) == ("validating", hashlib.sha256(FILE).hexdigest())
    assert code_of(begin(browser, dataset_id, FILE), 409) == "dataset_already_uploaded"


def test_another_file_takes_the_place_of_a_begun_one_only_if_asked_to(browser: Browser, client: TestClient) -> None:
    dataset_id = declare(client)
    begun = begin(browser, dataset_id, FILE).json()["upload"]
    said = begin(browser, dataset_id, OTHER).json()["other"]
    assert f"{len(FILE):,} bytes" in said
    assert hashlib.sha256(FILE).hexdigest()[:12] in said
    other = begin(browser, dataset_id, OTHER, instead="yes").json()["upload"]
    uploads = {upload["id"]: upload["status"] for upload in client.get(f"/v1/datasets/{dataset_id}/uploads").json()["data"]}
    assert uploads == {begun["id"]: "aborted", other["id"]: "open"}


def test_a_bad_description_of_a_file_is_refused_by_field(browser: Browser, client: TestClient) -> None:
    answer = post(browser, f"/dashboard/datasets/{declare(client)}/uploads", size_bytes="many", sha256="ff")
    assert code_of(answer, 422) == "invalid_request"
    assert [item["pointer"] for item in answer.json()["errors"]] == ["/size_bytes", "/sha256"]


def test_only_a_page_of_the_session_may_send(
    application: FastAPI, browser: Browser, client: TestClient, stranger: Browser, services: Services
) -> None:
    dataset_id = declare(client)
    begun = begin(browser, dataset_id, FILE).json()["upload"]
    (part, _) = begun["missing"]
    assert code_of(browser.http.put(part["target"], content=FILE, headers=JSON), 403) == "csrf_refused"
    assert code_of(browser.http.post(begun["complete"], headers=JSON), 403) == "csrf_refused"
    assert code_of(begin(stranger, dataset_id, FILE), 404) == "dataset_not_found"
    assert code_of(send(stranger, part, FILE), 404) == "upload_not_found"
    assert code_of(post(stranger, begun["complete"]), 404) == "upload_not_found"
    reader = Browser(application)
    assert reader.sign_in(add_tenant_with_key(services, Scope.DATASETS_READ)).status_code == 303
    assert code_of(begin(reader, dataset_id, FILE), 403) == "insufficient_scope"
