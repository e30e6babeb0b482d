"""The whole path as a person goes it, on a service of real processes: from a key to downloaded files."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.conftest import ServiceSettings, choose_settings
from tests.acceptance.processes import farzi_process, wait_until_ready
from tests.browser.conftest import Tab

pytestmark = pytest.mark.acceptance

JOB_PATIENCE_MS = 240_000
SMALL = {
    "student.hidden_size": "16",
    "synthetic.num_sequences": "10",
    "synthetic.sequence_length": "20",
    "synthetic.latent_dim": "16",
    "inner.num_steps": "20",
    "inner.min_steps": "10",
    "outer.num_steps": "12",
    "outer.batch_size": "64",
    "outer.validate_every": "5",
    "teacher.num_steps": "20",
    "evaluation.num_seeds": "1",
    "evaluation.max_steps": "20",
    "evaluation.students": "sasrec",
    "evaluation.lr_factors": "1.0",
}
# Drops a file on an element, as a hand would.
DROP = """([selector, name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name));
  const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(event);
}"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceSettings]:
    """``farzi serve`` as a user starts it."""
    directory = tmp_path_factory.mktemp("service")
    settings = choose_settings(directory, FARZI_CALIBRATE="false")
    with farzi_process(["serve"], settings.variables, directory / "serve.log") as server:
        wait_until_ready(settings.base_url, server, directory / "serve.log")
        yield settings


def make_csv(*, broken: bool) -> str:
    """Return walks round a ring of items, so that the next one can be learned; a broken file has a bad time in line 6."""
    draw, rows = random.Random(0), ["user,item,timestamp"]
    for user in range(100):
        item = draw.randrange(40)
        for at in range(draw.randrange(25, 45)):
            item = (item + draw.choice((1, 1, 1, 2, 5))) % 40
            rows.append(f"u{user},item {item},{1_700_000_000 + at}")
    if broken:
        rows[5] = "u0,item 3,yesterday"
    return "\n".join(rows) + "\n"


def submit_small(page: Page, name: str, **changed: str) -> None:
    """Fill in the builder and submit; every section is opened, as a person would to change it."""
    page.get_by_role("link", name="Distil").click()
    expect(page.locator("#estimate")).to_be_visible()
    closed = page.locator("#builder details:not([open]) > summary")
    for _ in range(closed.count()):
        closed.first.click()
    expect(closed).to_have_count(0)
    for field, value in {**SMALL, **changed}.items():
        page.locator(f"[name='{field}']").fill(value)
    page.get_by_label("Labels").fill(f"name={name}")
    expect(page.locator("#estimate")).to_contain_text("nine in ten below")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def press(page: Page, name: str) -> None:
    """Press a button of a part that may be renewed at any moment: a key is one event, a click is two."""
    page.get_by_role("button", name=name).press("Enter")


@pytest.mark.timeout(900)
def test_from_a_key_to_files(tab: Tab, service: ServiceSettings, tmp_path: Path) -> None:
    page = tab.page
    tab.sign_in(service.base_url, service.api_key)
    assert service.api_key not in page.content()

    # A broken file, and why it is refused.
    page.get_by_role("link", name="New data set").click()
    broken = tmp_path / "broken.csv"
    broken.write_text(make_csv(broken=True))
    expect(page.get_by_role("button", name="Upload")).to_be_enabled()
    page.get_by_label("File").set_input_files(broken)
    expect(page.get_by_label("Name")).to_have_value("broken")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#dataset-status")).to_have_text("invalid", timeout=JOB_PATIENCE_MS)
    row = page.get_by_role("region", name="Problems found in the file").get_by_role("row").nth(1)
    expect(row).to_contain_text("6")
    expect(row).to_contain_text("yesterday")
    expect(page.get_by_role("alert")).to_contain_text("Line 6, column timestamp")

    # A good one, dropped.
    page.get_by_role("link", name="Data sets").first.click()
    page.get_by_role("link", name="New data set").click()
    expect(page.get_by_role("button", name="Upload")).to_be_enabled()
    page.evaluate(DROP, ["#drop", "walks.csv", make_csv(broken=False)])
    expect(page.get_by_label("Name")).to_have_value("walks")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#dataset-status")).to_have_text("ready", timeout=JOB_PATIENCE_MS)
    expect(page.get_by_role("img", name="Sequences by their number of events")).to_be_visible()
    dataset_page = page.url

    # A small job, to its end, while nobody touches the page.
    submit_small(page, "first")
    page.evaluate("window.isSamePage = true")
    expect(page.get_by_role("img", name="; full data")).to_have_attribute(
        "aria-label", re.compile("random sequences 0"), timeout=JOB_PATIENCE_MS
    )
    expect(page.get_by_role("link", name="See the result")).to_be_visible(timeout=JOB_PATIENCE_MS)
    assert page.evaluate("window.isSamePage"), "the page was not loaded anew"
    assert page.evaluate("window.layoutShift") < 0.01, page.evaluate("window.layoutShifts")
    expect(page.locator(".events-log")).to_contain_text("job.succeeded")

    # Its result, and a file of it.
    page.get_by_role("link", name="See the result").click()
    expect(page.get_by_role("img", name="Heat map of synthetic sequence 1")).to_be_visible()
    expect(page.get_by_role("region", name="Table of student sasrec")).to_contain_text("full data")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="report.json").click()
    report = Path(downloading.value.path()).read_bytes()
    shown = page.get_by_role("row").filter(has=page.get_by_role("link", name="report.json")).locator("code")
    expect(shown).to_have_text(hashlib.sha256(report).hexdigest())
    ratio = json.loads(report)["students"]["sasrec"]["ratio"]["ndcg@10"]["mean"]
    expect(page.locator(".big").first).to_have_text(f"{100 * ratio:.1f} %")

    # One that would take hours: its curve is watched, then it is paused, resumed and cancelled.
    page.goto(dataset_page)
    submit_small(page, "second", **{"outer.num_steps": "5000"})
    status = page.locator("[data-part=state] .status")
    expect(status).to_have_text("running", timeout=JOB_PATIENCE_MS)
    loss = page.get_by_role("img", name="Outer loss. outer loss from")
    expect(loss).to_be_visible(timeout=JOB_PATIENCE_MS)
    before = loss.get_attribute("aria-label")
    expect(loss).not_to_have_attribute("aria-label", before or "", timeout=JOB_PATIENCE_MS)
    press(page, "Pause")
    expect(status).to_have_text("paused", timeout=JOB_PATIENCE_MS)
    press(page, "Resume")
    expect(status).to_have_text("running", timeout=JOB_PATIENCE_MS)
    press(page, "Cancel")
    expect(status).to_have_text("cancelled", timeout=JOB_PATIENCE_MS)

    # Both side by side.
    page.get_by_role("link", name="Jobs").first.click()
    page.get_by_label("Compare job first").check()
    page.get_by_label("Compare job second").check()
    page.get_by_role("button", name="Compare the chosen").click()
    expect(page.get_by_role("img", name="Outer loss")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="outer.num_steps")).to_contain_text("5000")

    # Out, and nothing is left behind.
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert [cookie["name"] for cookie in page.context.cookies()] == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    # While the builder is being filled in, an estimate may be refused: half of a change need not fit the other half.
    assert [error for error in tab.errors if "422" not in error] == []
