"""The API reference: contents, search, a page for each operation, schemas, and the form that sends a request."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from api.app import create_app
from store.db import Database
from tests.api.conftest import Service, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened

MAX_PAGE_BYTES = 300_000


@pytest.mark.slow
def test_every_operation_and_schema_has_a_small_page(service: Service) -> None:
    contents = service.http.get("/docs").text
    document = service.app.openapi()
    num_operations = sum(map(len, document["paths"].values()))
    operations = set(re.findall(r'href="(/docs/(?!schemas/)[a-z0-9-]+)"', contents))
    schemas = set(re.findall(r'href="(/docs/schemas/\w+)"', contents))
    assert len(operations) == num_operations
    assert len(schemas) == len(document["components"]["schemas"])
    for path in ("/docs", *operations, *schemas):
        response = service.http.get(path)
        assert response.status_code == 200, path
        assert len(response.content) < MAX_PAGE_BYTES, path
        linked = set(re.findall(r'href="(/docs/schemas/\w+)"', response.text))
        assert linked <= schemas, path


def test_search(service: Service) -> None:
    found = service.http.get("/docs", params={"q": "cancel job"}).text
    assert "/docs/post-v1-jobs-id-cancel" in found
    assert "/docs/get-v1-teachers" not in found
    assert "Nothing has all of these words" in service.http.get("/docs", params={"q": "<b>xyz"}).text
    for path in ("/docs/get-nothing", "/docs/schemas/Nothing"):
        assert service.http.get(path).status_code == 404


@pytest.mark.slow
def test_an_operation_names_its_fields_and_has_an_example(service: Service) -> None:
    page = service.http.get("/docs/post-v1-datasets").text
    assert "vocabulary_id" in page
    assert "curl -X POST" in page
    draft = service.http.get("/docs/patch-v1-attribute-sets-id-draft").text
    assert "If-Match" in draft


@pytest.mark.slow
def test_a_request_is_sent_from_the_page(sqlite_db: Database, tmp_path: Path) -> None:
    with (
        served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url,
        opened(f"{url}/docs/post-v1-vocabularies") as browser,
    ):
        page = browser.page
        page.get_by_label("Body").fill('{"name": "birds", "labels": ["<img src=x>", "heron"]}')
        page.get_by_role("button", name="Send POST").click()
        expect(page.locator("#answer")).to_contain_text("201")
        expect(page.locator("#answer pre")).to_contain_text('"num_labels": 2')
        page.goto(f"{url}/docs/get-v1-vocabularies-id")
        page.get_by_label("id", exact=False).fill("voc_none")
        page.get_by_role("button", name="Send GET").click()
        expect(page.locator("#answer")).to_contain_text("404")
        assert browser.errors == []
