"""From the list of students to their comparison, to one student, its labels, and a job that it lacks, in a browser."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from api.app import create_app
from limbeck import Client
from store.db import Database
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.api.pages.browser import opened
from tests.api.pages.every_page import IMG, fill, write_example


@pytest.mark.slow
def test_students_are_chosen_compared_and_measured(sqlite_db: Database, tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "home", example=write_example(tmp_path / "example.json"))
    with served(create_app(settings, sqlite_db)) as url, Client(url) as client:
        fill(url, settings, sqlite_db)
        with opened(f"{url}/students") as browser:
            page = browser.page
            for id in ("ckp_1", "ckp_2"):
                page.get_by_label(f"Compare {id}").check()
            page.get_by_role("button", name="Compare the chosen").click()
            expect(page.get_by_role("heading", name="Compare students")).to_be_visible()
            assert sorted(page.url.partition("?")[2].split("&")) == ["id=ckp_1", "id=ckp_2"]
            assert page.locator("figure polyline").count() == 4, "two curves of loss, two of the learning rate"
            expect(page.get_by_role("row", name="teacher local-dir")).to_be_visible()
            expect(page.get_by_role("heading", name="Better")).to_be_visible()

            page.goto(f"{url}/students/ckp_1")
            page.get_by_role("link", name="All labels").click()
            page.get_by_label("Order").select_option("best")
            page.get_by_label("Search labels").fill("onerror")
            page.get_by_role("button", name="Show").click()
            page.get_by_role("link", name=IMG).click()
            expect(page.locator(".pictures figure")).to_have_count(2)
            expect(page.locator(".pictures figcaption").first).to_contain_text("75.0%")
            page.wait_for_function(
                "() => [...document.querySelectorAll('.pictures img')].every(one => one.naturalWidth > 0)"
            )

            page.goto(f"{url}/students/ckp_1")
            with page.expect_navigation():
                page.get_by_role("button", name="Evaluate it by names").click()
            (job,) = client.jobs.list(kind="evaluate")
            assert page.url == f"{url}/jobs/{job.id}"
            assert (job.spec["subject"]["checkpoint_id"], job.spec["text"]) == ("ckp_1", "names")
            assert (browser.errors, browser.failed_requests) == ([], [])
