"""The pages of vocabularies: labels with a preview, a vocabulary, and an enrichment after its estimate."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from api.app import create_app
from store.db import Database
from tests.api.conftest import Service, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened

EVIL = [
    "<script>document.title=1</script>",
    '" onmouseover="x',
    "{{ 7 * 7 }}",
    "javascript:alert(1)",
    "heron &amp; x",
]


@pytest.mark.slow
def test_labels_are_text_and_are_searched_and_paged(service: Service) -> None:
    id = service.vocabulary(*EVIL, *(f"bird {number}" for number in range(150)))
    first = service.http.get(f"/vocabularies/{id}").text
    assert "&lt;script&gt;document.title=1" in first
    assert "{{ 7 * 7 }}" in first
    assert '" onmouseover="x' not in first
    assert "heron &amp;amp; x" in first
    (next_url,) = re.findall(r'href="([^"]+)" rel="next"', first)
    assert "bird 149" in service.http.get(next_url.replace("&amp;", "&")).text
    found = service.http.get(f"/vocabularies/{id}", params={"q": "BIRD 14"}).text
    assert re.findall(r"<bdi>bird (\d+)</bdi>", found) == ["14", *map(str, range(140, 150))]
    assert "No label contains" in service.http.get(f"/vocabularies/{id}", params={"q": "<b>%"}).text
    assert service.http.get("/vocabularies/voc_none").status_code == 404


@pytest.mark.slow
def test_from_labels_to_a_job(sqlite_db: Database, tmp_path: Path) -> None:
    with (
        served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url,
        opened(f"{url}/vocabularies/new") as browser,
    ):
        page = browser.page
        create = page.get_by_role("button", name="Create the vocabulary")
        page.get_by_label("Name").fill("birds")
        page.get_by_label("Domain").fill("birds")
        page.get_by_label("Labels", exact=True).fill("crane\nheron\n\nCrane\n")
        expect(page.locator("#preview")).to_contain_text("line 4 repeats line 1")
        expect(create).to_be_disabled()
        page.get_by_label("Labels", exact=True).fill("crane\tthe bird\n<img src=x onerror=document.title=1>\n\nheron\n")
        expect(page.locator("#preview h2")).to_have_text("3 labels")
        expect(page.locator("#preview tbody")).to_contain_text("the bird")
        expect(page.locator("#preview tbody")).to_contain_text("<img src=x")
        create.click()
        expect(page.get_by_role("heading", name="birds")).to_be_visible()
        start = page.get_by_role("button", name="Start")
        expect(start).to_be_disabled()
        page.get_by_role("button", name="Show calls, tokens and money").click()
        expect(page.locator("#estimate")).to_contain_text("Calls3")
        page.get_by_label("Model", exact=True).fill("other")  # the estimate was for another request
        expect(start).to_be_disabled()
        page.get_by_role("button", name="Show calls, tokens and money").click()
        start.click()
        expect(page.get_by_role("heading", name="Enrich job")).to_be_visible()
        assert "/jobs/job_" in page.url
        assert browser.errors == []


@pytest.mark.slow
def test_a_file_is_dropped(sqlite_db: Database, tmp_path: Path) -> None:
    file = tmp_path / "garden.json"
    file.write_text('{"0": "crane", "1": "heron"}')
    with (
        served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url,
        opened(f"{url}/vocabularies/new") as browser,
    ):
        page = browser.page
        page.get_by_label("or a file").set_input_files(file)
        expect(page.locator("#preview h2")).to_have_text("2 labels")
        expect(page.get_by_label("Name")).to_have_value("garden")
        page.get_by_role("button", name="Create the vocabulary").click()
        expect(page.get_by_role("heading", name="garden")).to_be_visible()
        assert browser.errors == []
