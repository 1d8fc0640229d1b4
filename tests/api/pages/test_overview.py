"""The overview page and the API reference."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from api.app import create_app
from store.db import Database
from store.models import Job
from tests.api.conftest import Service, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened
from tests.api.published import publish


@pytest.mark.slow
def test_texts_are_escaped(service: Service) -> None:
    empty = service.http.get("/")
    assert empty.text.count("None yet.") == 3
    publish(service.db, service.artefacts)
    with service.db.write() as tx:
        from store.models import Checkpoint

        tx.get_one(Checkpoint, "ckp_1").student = "<script>alert(1)</script>"
    landing, docs = service.http.get("/"), service.http.get("/docs")
    assert "<script>" not in landing.text
    assert "&lt;script&gt;alert(1)" in landing.text
    assert "ID 50.0%" in landing.text
    assert "/v1/checkpoints/{id}/files/{path}" in docs.text
    for response in (landing, docs):
        assert response.status_code == 200
        (style,) = re.findall("<style>(.*?)</style>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert response.headers["content-security-policy"] == (
            f"default-src 'none'; style-src 'sha256-{digest}'; frame-ancestors 'none'; base-uri 'none'; "
            "form-action 'none'"
        )
        assert not any(word in response.text for word in ("http://", "https://", "<script", "<img", "<link"))


def test_a_job_that_lacks_labels_says_so(service: Service) -> None:
    body = {"kind": "enrich", "vocabulary_id": service.vocabulary("crane")}
    job = service.post("/v1/jobs", body, status=202)
    with service.db.write() as tx:
        row = tx.get_one(Job, job["id"])
        row.status = "succeeded"
        reasons = [("refused", 2, 1), ("timeout", 1, 0)]
        row.result = {
            "failed_reasons": [
                {"reason": reason, "count": count, "partly_count": partly} for reason, count, partly in reasons
            ]
        }
    assert "succeeded, missing: 3 refused, 1 timeout" in service.http.get("/").text


@pytest.mark.slow
def test_the_pages_load_in_a_browser(sqlite_db: Database, tmp_path: Path) -> None:
    with served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url, opened(f"{url}/") as browser:
        page = browser.page
        expect(page.get_by_role("heading", name="Latest checkpoints")).to_be_visible()
        # The style is applied, so the policy allows it.
        assert page.evaluate("getComputedStyle(document.querySelector('h2')).marginTop") == "32px"
        page.get_by_role("link", name="reference").click()
        expect(page.get_by_role("heading", name="Schemas")).to_be_visible()
        assert page.locator("h3#VocabularyOut").count() == 1
        assert (browser.errors, browser.failed_requests) == ([], [])
