"""All pages: hostile texts are shown as text, 360 px are wide enough, and axe-core finds nothing serious."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from api.app import create_app
from store.db import Database
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.api.pages.browser import OpenPage, opened
from tests.api.pages.every_page import IMG, SCRIPT, TEMPLATE, fill, write_example

pytestmark = pytest.mark.slow

# Elements that markup in a text would make, and attributes that a text would add by leaving its own.
_MADE = """() => [
  ...document.querySelectorAll("main script, main img[src='x'], main svg[onload], main a[href^='javascript' i]"),
  ...[...document.querySelectorAll("*")].filter(one => [...one.attributes].some(({name}) => name.startsWith("on"))),
].map(one => one.outerHTML.slice(0, 200))"""
_WIDTHS = "() => [document.documentElement.scrollWidth, innerWidth]"
_RULES: dict[str, object] = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
_SAME_TEMPLATE = ("/vocabularies", "/images", "/attributes")
"""Lists, which differ from that of students only in their texts."""
_CONTRAST: dict[str, object] = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


@pytest.fixture
def site(sqlite_db: Database, tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The URL of a service full of hostile texts, and the addresses of its pages."""
    settings = settings_at(tmp_path / "home", example=write_example(tmp_path / "example.json"))
    with served(create_app(settings, sqlite_db)) as url:
        yield url, fill(url, settings, sqlite_db)


def _go(browser: OpenPage, url: str, path: str) -> None:
    response = browser.page.goto(url + path, wait_until="load")
    assert response is not None
    assert response.status == (404 if path.endswith("/none") else 200), path
    assert browser.page.locator("h1").count() == 1, path


def test_hostile_texts_narrow_screens_and_accessibility(
    site: tuple[str, list[str]],
) -> None:
    url, paths = site
    with opened(f"{url}/docs") as browser:
        page, dialogs = browser.page, []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        texts: dict[str, str] = {}
        wide: list[str] = []
        found: list[str] = []
        page.set_viewport_size({"width": 360, "height": 800})
        for path in paths:
            _go(browser, url, path)
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            assert page.evaluate(_MADE) == [], path
            assert page.evaluate("window.__x") is None, path
            needed, width = page.evaluate(_WIDTHS)
            wide += [f"{path} needs {needed} px"] if needed > width else []
            text = texts[path.partition("?")[0]] = page.locator("main").inner_text()
            assert "49" not in text.split(), path
            found += _findings(page, _RULES, path) if path not in _SAME_TEMPLATE else []
        assert (browser.errors, dialogs, wide, found) == ([], [], [], [])
        assert IMG in texts["/students/ckp_1"]
        assert SCRIPT in texts["/students/ckp_1/label"], "the runner-up"
        assert TEMPLATE in texts["/compare"]
        assert IMG in texts["/vocabularies"]
        assert SCRIPT in texts["/images"]


@pytest.mark.nightly
def test_axe_finds_no_weak_contrast_in_the_dark_theme(site: tuple[str, list[str]]) -> None:
    """The only rules that the theme changes."""
    url, paths = site
    with opened(f"{url}/docs") as browser:
        browser.page.emulate_media(color_scheme="dark")
        found: list[str] = []
        for path in paths:
            _go(browser, url, path)
            found += _findings(browser.page, _CONTRAST, path)
        assert found == []


def _findings(page: Page, rules: dict[str, object], path: str) -> list[str]:
    violations = Axe().run(page, options={"resultTypes": ["violations"], **rules}).response["violations"]
    return [
        f"{path}: {one['id']}: {node['html'][:160]}"
        for one in violations
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]
