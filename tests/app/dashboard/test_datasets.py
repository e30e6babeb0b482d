"""Data sets on pages: declared from a form, uploaded by a script, and what validation found in them."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from app.services import Services
from tests.app.dashboard.browsing import HTML, Browser
from tests.app.dashboard.publishing import make_ready_with_report, make_refused
from tests.app.driving import CONTENT, code_of, declare, make_ready, submit

JSON = {"Accept": "application/json"}


def declare_by_form(browser: Browser, **fields: str) -> Any:
    values = {"name": "ratings", "task": "sequential_recommendation", "format": "csv", **fields}
    headers = {**JSON, "X-CSRF-Token": browser.csrf_token}
    return browser.http.post("/dashboard/datasets", data=values, headers=headers)


def test_a_form_declares_and_a_body_is_uploaded(browser: Browser, client: TestClient) -> None:
    fields = {
        "columns.user": "user_id",
        "columns.item": "1",
        "columns.timestamp": "",
        "options.delimiter": "tab",
        "options.min_item_events": "2",
        "options.header": "false",
        "options.bad_rows": "refuse",
        "options.max_vocab_size": "10000",
    }
    made = declare_by_form(browser, **fields)
    assert made.status_code == 201, made.text
    found = client.get(f"/v1/datasets/{made.json()['id']}").json()
    assert found["columns"] == {"user": "user_id", "item": 1}
    assert found["options"]["delimiter"] == "\t"
    assert found["options"]["min_item_events"] == 2
    assert found["options"]["header"] is False
    put = browser.http.put(made.json()["content"], content=CONTENT, headers={**JSON, "X-CSRF-Token": browser.csrf_token})
    assert (put.status_code, put.json()["status"]) == (202, "validating")
    again = browser.http.put(made.json()["content"], content=CONTENT, headers={**JSON, "X-CSRF-Token": browser.csrf_token})
    assert code_of(again, 409) == "dataset_already_uploaded"
    page = browser.look(made.json()["page"])
    assert page.attributes("dd", **{"id": "dataset-status", "data-status": "validating"})
    assert client.get(f"/v1/datasets/{made.json()['id']}").json()["size_bytes"] == len(CONTENT)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": " "}, "/name"),
        ({"format": "xlsx"}, "/format"),
        ({"options.min_item_events": "few"}, "/options/min_item_events"),
        ({"options.delimiter": "ab"}, "/options/delimiter"),
        ({"format": "text"}, ""),
    ],
)
def test_a_bad_declaration_is_refused_by_field(browser: Browser, fields: dict[str, str], pointer: str) -> None:
    answer = declare_by_form(browser, **fields)
    assert code_of(answer, 422) == "invalid_request"
    assert pointer in [item["pointer"] for item in answer.json()["errors"]]


def test_an_empty_file_is_refused(browser: Browser) -> None:
    made = declare_by_form(browser).json()
    headers = {**JSON, "X-CSRF-Token": browser.csrf_token}
    assert code_of(browser.http.put(made["content"], content=b"", headers=headers), 422) == "empty_upload"


def test_a_refused_file_shows_the_offending_line(browser: Browser, client: TestClient, services: Services) -> None:
    page = browser.look(f"/dashboard/datasets/{make_refused(client, services)}")
    assert "Line 3, column timestamp: this is not a number." in page.text
    assert "Line Column Found What is wrong 3 timestamp notatime this is not a number" in page.text
    assert not page.attributes("a", href="/dashboard/jobs/new"), "nothing can be distilled from it"


def test_a_ready_data_set_shows_its_histograms(browser: Browser, client: TestClient, services: Services) -> None:
    dataset_id = make_ready_with_report(client, services, "flights")
    page = browser.look(f"/dashboard/datasets/{dataset_id}")
    labels = [str(each["aria-label"]) for each in page.attributes("svg", role="img")]
    assert "Sequences by their number of events: 2 bars, from 1 to 2-3; the highest is 2-3 with 7." in labels
    assert "fields separated by commas, with a header." in page.text
    assert any("read as seconds since 1970: 2 bars, from 2013-01-01" in label for label in labels)
    heights = [float(str(each["height"])) for each in page.attributes("rect", **{"class": "bar"})[:2]]
    assert heights[0] == pytest.approx(heights[1] * 3 / 7, abs=0.1)
    assert page.attributes("a", href=f"/dashboard/jobs/new?dataset_id={dataset_id}")
    for table in page.attributes("table"):
        assert table["class"]


def test_a_data_set_in_use_stays(browser: Browser, client: TestClient, services: Services) -> None:
    dataset_id = make_ready(client, services)
    submit(client, dataset_id)
    answer = browser.http.post(
        f"/dashboard/datasets/{dataset_id}/delete", data={"csrf_token": browser.csrf_token}, headers=HTML
    )
    assert answer.status_code == 409
    assert "wait for it, or cancel it" in answer.text
    assert client.get(f"/v1/datasets/{dataset_id}").status_code == 200


def test_the_list_has_pages(browser: Browser, client: TestClient) -> None:
    made = [declare(client, name=f"set {number}") for number in range(3)]
    path, seen = "/dashboard/datasets?limit=2", list[str]()
    while path:
        page = browser.look(path)
        seen += [
            str(each["href"])[20:] for each in page.attributes("a") if str(each["href"]).startswith("/dashboard/datasets/ds_")
        ]
        following = page.attributes("a", rel="next")
        path = str(following[0]["href"]) if following else ""
    assert seen[:3] == made[::-1]
    assert len(seen) == len(set(seen)) == len(client.get("/v1/datasets?limit=200").json()["data"])
