"""Uploads that are stopped, break off, lose their answer, or go on after a reload: a route of the browser decides when."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.app.driving import ADMIN, ADMIN_KEY, CONTENT, RunningServer
from tests.browser.conftest import PATIENCE_S, Tab

PART_BYTES = 8 << 20
SIZE_BYTES = 2 * PART_BYTES + 1000
BODY = re.compile(r"/dashboard/datasets/ds_[^/]+/content$")
SECOND_PART = re.compile(r"/uploads/upl_[^/]+/parts/2$")
COMPLETE = re.compile(r"/uploads/upl_[^/]+/complete$")
BROKEN_BODY = "The connection broke. Upload again to start anew."
BROKEN_PARTS = "The connection broke. Upload again to send what is missing."


@pytest.fixture
def page(tab: Tab, server: RunningServer) -> Page:
    """The page of a new data set."""
    tab.enter(server.url, ADMIN_KEY)
    tab.page.goto(f"{server.url}/dashboard/datasets/new")
    return tab.page


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of three parts."""
    path = tmp_path_factory.mktemp("files") / "large.csv"
    path.write_bytes((CONTENT * (SIZE_BYTES // len(CONTENT) + 1))[:SIZE_BYTES])
    return path


def choose(page: Page, name: str, content: bytes = CONTENT) -> None:
    page.get_by_label("File").set_input_files({"name": name, "mimeType": "text/csv", "buffer": content})


def press(page: Page, name: str = "Upload") -> None:
    page.get_by_role("button", name=name, exact=True).click()


def hold(route: Route) -> None:
    """Leave a request without an answer, as a connection without a carrier does."""


def break_off(route: Route) -> None:
    route.abort("connectionreset")


def lose_the_answer(route: Route) -> None:
    assert route.fetch().status == 202
    route.abort("connectionreset")


def is_stored(page: Page) -> None:
    """Wait for the page of a data set whose file has come."""
    expect(page.locator("#dataset-status")).to_have_text("validating")


def sent_parts(page: Page) -> list[str]:
    """Return a list that every part from now on is added to by its number, as it is sent."""
    numbers: list[str] = []

    def note(request: Request) -> None:
        if request.method == "PUT":
            numbers.append(request.url.rpartition("/")[2])

    page.on("request", note)
    return numbers


def ask(server: RunningServer, path: str) -> Any:
    answer = httpx.get(f"{server.url}/v1{path}", headers=ADMIN, timeout=PATIENCE_S)
    assert answer.status_code == 200, answer.text
    return answer.json()


def dataset_of(page: Page) -> str:
    return page.url.rpartition("/")[2]


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def break_second_part(page: Page, path: Path) -> None:
    """Upload a file whose second part never gets through."""
    page.get_by_label("File").set_input_files(path)
    page.route(SECOND_PART, break_off)
    press(page)
    expect(page.get_by_role("alert")).to_have_text(BROKEN_PARTS)
    page.unroute(SECOND_PART)


def test_an_answer_that_is_not_the_services_can_be_tried_again(page: Page) -> None:
    page.route(BODY, lambda route: route.fulfill(status=200, body="<html>somebody's proxy</html>"))
    choose(page, "small.csv")
    press(page)
    expect(page.get_by_role("alert")).to_have_text("The service answered with status 200. Try again.")
    page.unroute(BODY)
    press(page)
    is_stored(page)


def test_an_upload_that_breaks_off_says_so_and_goes_on(page: Page) -> None:
    choose(page, "slow.csv")
    page.route(BODY, hold)
    press(page)
    bar = page.get_by_role("progressbar", name="Uploading")
    expect(bar).to_be_visible()
    expect(page.get_by_role("button", name="Upload")).to_be_disabled()
    press(page, "Stop")
    expect(page.get_by_role("alert")).to_have_text("Stopped. Upload again to start anew.")
    expect(bar).to_be_hidden()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    page.unroute(BODY)
    page.route(BODY, break_off)
    press(page)
    expect(page.get_by_role("alert")).to_have_text(BROKEN_BODY)
    page.unroute(BODY)
    press(page)
    is_stored(page)


def test_a_file_that_arrived_whole_before_the_connection_broke_is_not_refused(page: Page) -> None:
    choose(page, "whole.csv")
    page.route(BODY, lose_the_answer)
    press(page)
    expect(page.get_by_role("alert")).to_have_text(BROKEN_BODY)
    page.unroute(BODY)
    press(page)
    is_stored(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("whole")


def test_another_file_than_what_arrived_gets_a_data_set_of_its_own(page: Page) -> None:
    choose(page, "whole.csv")
    page.route(BODY, lose_the_answer)
    press(page)
    expect(page.get_by_role("alert")).to_have_text(BROKEN_BODY)
    page.unroute(BODY)
    choose(page, "another.csv", CONTENT + b"2,2,2\n")
    press(page)
    expect(page.get_by_role("alert")).to_contain_text("keeps the content it has")
    press(page)
    is_stored(page)


def test_what_is_declared_otherwise_is_another_data_set(page: Page, server: RunningServer) -> None:
    choose(page, "table.csv")
    page.route(BODY, break_off)
    press(page)
    expect(page.get_by_role("alert")).to_have_text(BROKEN_BODY)
    page.unroute(BODY)
    page.get_by_label("Name").fill("corrected")
    page.get_by_label("Format").select_option("tsv")
    press(page)
    is_stored(page)
    assert ask(server, f"/datasets/{dataset_of(page)}")["format"] == "tsv"
    expect(page.get_by_role("heading", level=1)).to_have_text("corrected")


def test_a_large_file_goes_on_with_the_missing_parts(tab: Tab, page: Page, server: RunningServer, large: Path) -> None:
    page.get_by_label("File").set_input_files(large)
    with page.expect_request(SECOND_PART):
        page.route(SECOND_PART, hold)
        press(page)
    expect(page.locator("#upload-said")).to_contain_text("of 16.8 MB")
    press(page, "Stop")
    expect(page.get_by_role("alert")).to_have_text("Stopped. Upload again to send what is missing.")
    page.unroute(SECOND_PART)
    break_second_part(page, large)
    (upload,) = ask(server, f"/datasets/{dataset_of(page)}/uploads")["data"]
    parts = ask(server, f"/datasets/{upload['dataset_id']}/uploads/{upload['id']}")
    assert [part["number"] for part in parts["received_parts"]] == [1]

    page.route(COMPLETE, lose_the_answer, times=1)
    sent = sent_parts(page)
    press(page)
    is_stored(page)
    assert sent == ["2", "3"]
    assert ask(server, f"/datasets/{upload['dataset_id']}")["sha256"] == sha256_of(large)
    assert [error for error in tab.errors if "ERR_CONNECTION_RESET" not in error] == []


def test_a_reload_goes_on_with_the_same_file_alone(page: Page, server: RunningServer, large: Path, tmp_path: Path) -> None:
    break_second_part(page, large)
    page.reload()
    expect(page.get_by_text("An upload of 16.8 MB was begun, and 8.39 MB are there.")).to_be_visible()
    dataset_id, sent = dataset_of(page), sent_parts(page)

    other = tmp_path / large.name
    other.write_bytes(large.read_bytes()[:-1] + b"!")
    page.get_by_label("File").set_input_files(other)
    press(page)
    expect(page.get_by_role("alert")).to_contain_text(
        "This is another file than the one whose upload was begun (16,778,216 bytes"
    )
    expect(page.get_by_role("alert")).to_contain_text(sha256_of(large)[:12])
    assert sent == []

    page.get_by_label("File").set_input_files(large)
    expect(page.get_by_role("button", name="Send this file instead")).to_be_hidden()
    press(page)
    is_stored(page)
    assert sent == ["2", "3"]
    assert ask(server, f"/datasets/{dataset_id}")["sha256"] == sha256_of(large)


def test_another_file_can_be_sent_instead(page: Page, server: RunningServer, large: Path, tmp_path: Path) -> None:
    break_second_part(page, large)
    other = tmp_path / "other.csv"
    other.write_bytes(large.read_bytes() + CONTENT)
    page.get_by_label("File").set_input_files(other)
    press(page)
    expect(page.get_by_role("alert")).to_contain_text("This is another file")
    sent = sent_parts(page)
    press(page, "Send this file instead")
    is_stored(page)
    assert sent == ["1", "2", "3"]
    dataset = ask(server, f"/datasets/{dataset_of(page)}")
    assert dataset["sha256"] == sha256_of(other)
    uploads = ask(server, f"/datasets/{dataset['id']}/uploads")["data"]
    assert [upload["status"] for upload in uploads] == ["completed", "aborted"]
