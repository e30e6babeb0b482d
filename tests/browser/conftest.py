"""One Chromium for each module, a fresh profile for each test, and what the browser complained of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from app.settings import Settings
from tests.app.driving import ADMIN_KEY, RunningServer, running_in_thread
from tests.services.processes import service_missing

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1280, 800), (390, 844)
PATIENCE_S = 60
PATIENCE_MS = 1000 * PATIENCE_S
# Sums what moves on a page by itself, as Chromium measures it: a share of the view, times how far.
COUNT_SHIFTS = """
window.layoutShift = 0;
window.layoutShifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    window.layoutShift += entry.value;
    const moved = entry.sources.map((each) => (each.node?.parentElement ?? each.node)?.outerHTML?.slice(0, 80));
    window.layoutShifts.push([entry.value, moved]);
  }
}).observe({ type: "layout-shift", buffered: true });
"""


expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Tab:
    """A page, and what its console said that is an error: a refused script, a broken one, a file that is missing."""

    page: Page
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._note)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def sign_in(self, url: str, key: str) -> None:
        self.page.goto(url)
        self.page.get_by_label("API key").fill(key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Overview").wait_for()

    def enter(self, url: str, key: str) -> None:
        """Have the cookie of a session without looking at a page."""
        answer = httpx.post(f"{url}/dashboard/sign-in", data={"api_key": key}, timeout=PATIENCE_S)
        assert answer.status_code == 303, answer.text
        self.page.context.add_cookies([{"name": name, "value": value, "url": url} for name, value in answer.cookies.items()])


@contextmanager
def open_tab(
    browser: Browser, size: tuple[int, int] = DESKTOP, scheme: Literal["light", "dark"] = "light", *, scripts: bool = True
) -> Iterator[Tab]:
    """Open a tab of a profile without cookies."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        reduced_motion="reduce",
        accept_downloads=True,
        java_script_enabled=scripts,
    )
    context.add_init_script(COUNT_SHIFTS)
    try:
        yield Tab(context.new_page())
    finally:
        context.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # While Playwright is there, its event loop runs in this thread: no test of asyncio could come after it in one process.
    path = shutil.which("chromium") or service_missing("Chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A service without workers: what is uploaded stays to be validated, and jobs stay queued unless a test runs them."""
    fields = {"data_dir": tmp_path_factory.mktemp("data"), "bootstrap_api_key": ADMIN_KEY, "rate_limit_per_s": 0}
    with running_in_thread(Settings.model_validate(fields)) as running:
        yield running


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Tab]:
    """A tab of desktop width."""
    with open_tab(chromium) as opened:
        yield opened
