"""Times of a page, by plain requests and in headless Chromium."""

import shutil
import statistics
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Browser, sync_playwright

from benchmarks import load

_REPEATS = 9
_PAINTS = 5
_PAINT = "performance.getEntriesByType('paint').find(one => one.name === 'first-contentful-paint')?.startTime"


@dataclass(frozen=True)
class PageTimes:
    """`first_s` and `median_s`: of whole responses; `cpu_s`: of the server, for one of the responses after the first;
    `paint_s`: the median first contentful paint."""

    first_s: float
    median_s: float
    cpu_s: float
    num_bytes: int
    paint_s: float


@contextmanager
def opened() -> Iterator[Browser]:
    """Chromium or Chrome on PATH, or Playwright's own."""
    with sync_playwright() as playwright:
        names = ("chromium", "chromium-browser", "google-chrome")
        path = next(filter(None, map(shutil.which, names)), None)
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def measure(browser: Browser, port: int, pid: int, path: str) -> PageTimes:
    """Request and load a page of the server with this process id."""
    url = f"http://127.0.0.1:{port}{path}"
    times_s, num_bytes, before = [], 0, 0.0
    for number in range(_REPEATS):
        if number == 1:
            before = load.cpu_s(pid)
        started = time.perf_counter()
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": "text/html"})) as response:
            num_bytes = len(response.read())
        times_s.append(time.perf_counter() - started)
    cpu_s = (load.cpu_s(pid) - before) / (_REPEATS - 1)
    paints_ms = []
    context = browser.new_context()
    for _ in range(_PAINTS):
        page = context.new_page()
        page.goto(url, wait_until="domcontentloaded")
        page.wait_for_function(f"() => {_PAINT} !== undefined")
        paints_ms.append(float(page.evaluate(_PAINT)))
        page.close()
    context.close()
    return PageTimes(times_s[0], statistics.median(times_s[1:]), cpu_s, num_bytes, statistics.median(paints_ms) / 1000)
