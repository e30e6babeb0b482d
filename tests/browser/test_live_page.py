"""The page of a running job: everything arrives by itself, and nothing that is there moves. The test is the run."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from app.jobs.events import EventType
from app.jobs.leases import Lease, claim
from app.jobs.progress import JobWriter
from app.services import Services
from tests.app.driving import ADMIN, ADMIN_KEY, RunningServer, make_ready, submit, succeed
from tests.browser.conftest import DESKTOP, PATIENCE_S, PHONE, open_tab

FULL_DATA = {"full_data_validation_ndcg@10": 0.5, "random_validation_ndcg@10": 0.1}


@pytest.fixture
def job_id(server: RunningServer) -> str:
    with httpx.Client(base_url=server.url, headers=ADMIN, timeout=PATIENCE_S) as client:
        return submit(client, make_ready(client, server.services), metadata={"name": "followed"})


def begin(services: Services, job_id: str) -> Lease:
    with services.sessions.begin() as session:
        lease = claim(session, job_id, "tests", lease_s=3600, max_runs=3)
    assert lease is not None
    return lease


def run(page: Page, services: Services, job_id: str, directory: Path) -> None:
    """Do what a run does, one thing after the other, each when the page shows the one before."""
    state, charts, events = (page.locator(f"[data-part={name}]") for name in ("state", "charts", "events"))
    expect(state).to_contain_text("queued")
    lease = begin(services, job_id)
    writer = JobWriter(services.sessions, lease)
    writer.phase("teacher")
    expect(state).to_contain_text("phase teacher")
    writer.phase("distillation")
    for step in range(1, 11):
        writer.metrics(step, {"outer_loss": 5.0 - step / 10, "meta_gradient_norm": 0.1 + step / 100})
    writer.metrics(10, {"validation_ndcg@10": 0.2, **FULL_DATA})
    writer.progress(10, 40)
    writer.event(EventType.VALIDATION_MEASURED, {"step": 10, "metrics": {"validation_ndcg@10": 0.2}, "best": True})
    for part in ("distilled, ndcg@10 0.2", "full data 0.5", "random sequences 0.1", "meta-gradient norm 0.2", "outer loss 4"):
        expect(charts).to_contain_text(part)
    expect(events).to_contain_text("validation.measured step 10")
    for step in range(11, 31):
        writer.metrics(step, {"outer_loss": 12345.678 + step, "meta_gradient_norm": 1e-9})
        writer.checkpoint(f"checkpoint-{step}", step)
    writer.progress(30, 40)
    writer.flush()
    expect(charts).to_contain_text("12,376")
    expect(page.locator("[data-part=progress]")).to_contain_text("30 of 40 steps")
    expect(events).to_contain_text("checkpoint.written step 30")
    with httpx.Client(base_url=f"http://{page.url.split('/')[2]}", headers=ADMIN, timeout=PATIENCE_S) as client:
        assert client.post(f"/v1/jobs/{job_id}/pause").status_code == 200
    expect(state).to_contain_text("pause requested")
    directory.mkdir(exist_ok=True)
    succeed(services, lease, directory, {"report.json": b"{}"})
    expect(page.get_by_role("link", name="See the result")).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_moves_while_a_job_is_followed(
    chromium: Browser, server: RunningServer, job_id: str, tmp_path: Path, size: tuple[int, int]
) -> None:
    with open_tab(chromium, size) as tab:
        tab.enter(server.url, ADMIN_KEY)
        tab.page.goto(f"{server.url}/dashboard/jobs/{job_id}")
        tab.page.evaluate("window.isSamePage = true")
        run(tab.page, server.services, job_id, tmp_path / "result")
        assert tab.page.evaluate("window.isSamePage"), "the page was not loaded anew"
        assert tab.page.evaluate("window.layoutShift") < 0.01, tab.page.evaluate("window.layoutShifts")
        assert tab.errors == []


def test_focus_stays_where_it_is_while_the_page_renews_itself(chromium: Browser, server: RunningServer, job_id: str) -> None:
    with open_tab(chromium) as tab, httpx.Client(base_url=server.url, headers=ADMIN, timeout=PATIENCE_S) as client:
        begin(server.services, job_id)
        tab.enter(server.url, ADMIN_KEY)
        tab.page.goto(f"{server.url}/dashboard/jobs/{job_id}")
        cancel = tab.page.get_by_role("button", name="Cancel")
        cancel.focus()
        assert client.post(f"/v1/jobs/{job_id}/pause").status_code == 200
        expect(tab.page.get_by_text("pause requested")).to_be_visible()
        expect(cancel).to_be_focused()
