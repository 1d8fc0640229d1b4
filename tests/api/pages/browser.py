"""A page in headless Chromium, driven by Playwright.

The browser is `LIMBECK_TEST_BROWSER`, or Chromium or Chrome on PATH, or Playwright's own. Without one the tests are
skipped.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Page, Playwright, expect, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox",  # as root, Chromium does not start with its sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)
_TIMEOUT_MS = 30_000


@dataclass
class OpenPage:
    """A page, with the errors of its console: of scripts and of the content security policy, and failed requests."""

    page: Page
    errors: list[str] = field(default_factory=list)
    failed_requests: list[str] = field(default_factory=list)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            # A response with an error status is part of some tests.
            is_request = message.text.startswith("Failed to load resource")
            (self.failed_requests if is_request else self.errors).append(message.text)


def _executable(playwright: Playwright) -> str:
    chosen = os.environ.get("LIMBECK_TEST_BROWSER")
    path = chosen or next(filter(None, map(shutil.which, _NAMES)), None) or playwright.chromium.executable_path
    if chosen and not Path(chosen).exists():
        pytest.fail(f"LIMBECK_TEST_BROWSER names {chosen}, which does not exist")
    if not Path(path).exists():
        pytest.skip(
            f"there is no browser at {path}: install Chromium, run `python -m playwright install chromium`, or set "
            "LIMBECK_TEST_BROWSER to the path of a Chromium"
        )
    return path


@contextmanager
def opened(url: str) -> Iterator[OpenPage]:
    """The page at `url`. Playwright runs only inside this block: its event loop would disturb other tests."""
    with sync_playwright() as playwright:
        path = _executable(playwright)
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            page = browser.new_page()
            page.set_default_timeout(_TIMEOUT_MS)
            expect.set_options(timeout=_TIMEOUT_MS)
            result = OpenPage(page)
            page.on("console", result.on_console)
            page.on("pageerror", lambda error: result.errors.append(str(error)))
            page.goto(url)
            yield result
        finally:
            browser.close()
