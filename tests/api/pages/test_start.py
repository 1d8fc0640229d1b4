"""The start page, the lists, and what all pages have in common: policy, static files, escaping."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import event

from api.app import create_app
from api.pages import rendering
from api.pages.rendering import POLICY
from store.db import Database
from store.models import Checkpoint, Job
from tests.api.conftest import Service, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened
from tests.api.published import publish

LISTS = ("/vocabularies", "/images", "/attributes", "/jobs", "/students")


@pytest.mark.slow
def test_an_empty_service_says_how_to_begin(service: Service) -> None:
    start = service.http.get("/")
    assert "Three steps to a first student" in start.text
    assert "No GPU worker is running" in start.text
    for path in LISTS:
        response = service.http.get(path)
        assert (response.status_code, 'class="empty"' in response.text) == (200, True)


@pytest.mark.slow
def test_values_are_escaped_and_nothing_is_inline(service: Service) -> None:
    publish(service.db, service.artefacts)
    with service.db.write() as tx:
        tx.get_one(Checkpoint, "ckp_1").student = "<script>alert(1)</script>"
    for path in ("/", *LISTS):
        response = service.http.get(path)
        assert response.status_code == 200
        assert response.headers["content-security-policy"] == POLICY
        assert "'unsafe" not in POLICY
        assert not re.search(r"<script(?! type=\"module\" src=\"/static/)", response.text)
        assert not re.search(r"<style| style=| on[a-z]+=|https?://", response.text)
    students = service.http.get("/students").text
    assert "&lt;script&gt;alert(1)" in students
    assert "50.0%" in students
    assert "Three steps" not in service.http.get("/").text


def test_static_files_are_kept_for_ever_and_only_under_their_digest(service: Service) -> None:
    paths = re.findall(r'(?:href|src)="(/static/[^"]+)"', service.http.get("/").text)
    assert len(paths) == 3
    for path in paths:
        response = service.http.get(path)
        assert response.status_code == 200
        assert "immutable" in response.headers["cache-control"]
    other = service.http.get(re.sub("/static/[0-9a-f]+", "/static/0", paths[0]))
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-store")
    assert service.http.get(paths[0].replace(paths[0].rpartition("/")[2], "..%2fpage.js")).status_code == 404


def test_scripts_never_parse_text_as_markup() -> None:
    scripts = list((Path(rendering.__file__).parent / "static").glob("*.js"))
    assert len(scripts) >= 4
    for script in scripts:
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://",
            script.read_text(),
        )
        assert found == [], script.name


@pytest.mark.slow
def test_a_list_continues_on_its_next_page(service: Service) -> None:
    vocabulary_id = service.vocabulary("crane")
    with service.db.write() as tx:
        for number in range(51):
            tx.add(
                Job(
                    id=f"job_{number:03}",
                    kind="enrich",
                    status="failed" if number == 7 else "cancelled",
                    spec={},
                    tally=[],
                    num_events=0,
                    created_at=0.0,
                )
            )
    first = service.http.get("/jobs").text
    assert 'href="/jobs/job_050"' in first
    assert 'href="/jobs/job_000"' not in first
    (next_url,) = re.findall(r'href="([^"]+)" rel="next"', first)
    assert 'href="/jobs/job_000"' in service.http.get(next_url).text
    failed = service.http.get("/jobs", params={"status": "failed"}).text
    assert re.findall(r'href="(/jobs/job_\d+)"', failed) == ["/jobs/job_007"]
    assert f'href="/vocabularies/{vocabulary_id}"' in service.http.get("/vocabularies").text


@pytest.mark.slow
def test_lists_read_no_large_columns(service: Service) -> None:
    """The figures of 500 labels are a third of a megabyte per student, and as much in the result of its job."""
    publish(service.db, service.artefacts)
    statements: list[str] = []
    event.listen(service.db.reader, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    for path in ("/", "/students", "/jobs", "/images/dst_1"):
        service.http.get(path)
    selected = " ".join(statements)
    assert "checkpoints.headline" in selected
    assert "checkpoints.evaluation" not in selected
    assert "jobs.result" not in selected


@pytest.mark.slow
def test_the_start_page_shows_the_last_count_of_the_disk_and_waits_for_none(service: Service) -> None:
    scan = service.app.state.disk_scan
    with scan._lock:  # a scan that takes long
        assert "Disk used" not in service.http.get("/").text
    scan.used()
    assert re.search(
        r"Disk used: <strong>[\d.]+ [kMG]?B</strong>, for database [\d.]+ [kMG]?B", service.http.get("/").text
    )


@pytest.mark.slow
def test_the_pages_load_in_a_browser(sqlite_db: Database, tmp_path: Path) -> None:
    with served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url, opened(f"{url}/") as browser:
        page = browser.page
        expect(page.get_by_role("heading", name="Three steps to a first student")).to_be_visible()
        # The style is applied, so the policy allows it.
        assert page.evaluate("getComputedStyle(document.querySelector('h2')).marginTop") != "19.92px"
        page.get_by_role("link", name="API", exact=True).click()
        expect(page.get_by_role("heading", name="Schemas")).to_be_visible()
        assert (browser.errors, browser.failed_requests) == ([], [])
