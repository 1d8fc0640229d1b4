"""The page of a job: what it shows in each state, its curves and events, and a job that is watched to its end."""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from api.app import create_app
from api.pages import job_curves
from limbeck import Client
from store.db import Database
from store.jobs import claims, events
from store.lifecycle import transitions
from tests.api.conftest import Service, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened

EVIL = "<img src=x onerror=alert(1)> ‮txet"


def _step(number: int) -> Mapping[str, Any]:
    return {"step": number, "loss": 9.0 / number, "losses": {"cls": 4.0 / number, "mse": 5.0 / number}, "lr": 0.001}


def _enrich_job(service: Service) -> str:
    body = {"kind": "enrich", "vocabulary_id": service.vocabulary("crane", "heron"), "strategies": ["sentence"]}
    id: str = service.post("/v1/jobs", body, status=202)["id"]
    return id


@pytest.mark.slow
def test_states_events_and_curves(service: Service) -> None:
    id = _enrich_job(service)
    page = service.http.get(f"/jobs/{id}").text
    assert "queued" in page
    assert buttons(page) == ["pause", "cancel"]
    assert "LLM calls" in page
    claim = service.claim(id)
    with service.db.write() as tx:
        claims.note(tx, claim, "message", EVIL, level="warning")
        for number in range(1, 60):
            events.add(tx, id, "metrics", f"step {number}", data=_step(number))
        events.add(tx, id, "metrics", "epoch 1", data={"epoch": 1, "accuracy": {"id": 0.5, "ood": None}})
    page = service.http.get(f"/jobs/{id}").text
    assert page.count("<polyline") == 4  # total, two terms, learning rate
    assert "Accuracy on held-out images" in page
    assert EVIL.split()[0] not in page
    (older,) = re.findall(r'href="([^"#]+)#events">Older', page)
    assert f"/jobs/{id}?" in older
    assert "step 1<" in service.http.get(older.replace("&amp;", "&")).text
    warnings = service.http.get(f"/jobs/{id}", params={"level": "warning"}).text
    assert "onerror" in warnings
    assert "step 59<" not in warnings
    assert service.http.get(f"/jobs/{id}", params={"level": "debug"}).status_code == 422
    with service.db.write() as tx:
        transitions.fail_job(tx, claim, code="llm_refused", message="the key <b> is wrong")
    page = service.http.get(f"/jobs/{id}").text
    assert "llm_refused" in page
    assert "the key &lt;b&gt; is wrong" in page
    assert buttons(page) == ["retry"]
    assert "data-events" not in page


@pytest.mark.slow
def test_curves_are_drawn_once_for_all_who_look(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    id, drawn = _enrich_job(service), list[int]()
    monkeypatch.setattr(job_curves, "MAX_SHARE", 1e6)  # no pause between two drawings
    real = job_curves.draw
    monkeypatch.setattr(job_curves, "draw", lambda data: (drawn.append(len(data)), real(data))[1])

    def news() -> str:
        return service.http.get(f"/jobs/{id}/news").text

    def add(*numbers: int) -> None:
        with service.db.write() as tx:
            for number in numbers:
                events.add(tx, id, "metrics", f"step {number}", data=_step(number))

    assert ("<polyline" in news(), drawn) == (False, [])
    add(1, 2)
    assert news().count("<polyline") == 4
    news()
    assert drawn == [2]
    add(3)
    assert 'aria-label="Losses"' in news()
    assert drawn == [2, 3]
    add(*range(4, 1100))
    news()
    assert drawn[-1] == job_curves.MAX_EVENTS

    monkeypatch.setattr(job_curves, "MAX_SHARE", 1e-9)  # a pause of days
    add(1100)
    news()
    num_drawn = len(drawn)
    add(1101)
    news()
    assert len(drawn) == num_drawn
    with service.db.write() as tx:
        transitions.fail_job(tx, service.claim(id), code="llm_refused", message="m")
    news()
    assert len(drawn) == num_drawn + 1, "what a job ended with is drawn at once"


def buttons(page: str) -> list[str]:
    return re.findall(r'data-path="/v1/jobs/\w+/(\w+)"', page)


@pytest.mark.slow
def test_the_buttons_follow_the_status(service: Service) -> None:
    id = _enrich_job(service)

    def found() -> tuple[list[str], bool]:
        page = service.http.get(f"/jobs/{id}/progress").text
        return buttons(page), 'id="priority"' in page

    claim = service.claim(id)
    service.post(f"/v1/jobs/{id}/pause", None, status=202)
    assert service.get(f"/v1/jobs/{id}")["status"] == "pausing"
    assert found() == (["resume", "cancel"], True)
    with service.db.write() as tx:
        transitions.release(tx, claim)
    assert service.get(f"/v1/jobs/{id}")["status"] == "paused"
    assert found() == (["resume", "cancel"], True)
    service.post(f"/v1/jobs/{id}/resume", None, status=202)
    claim = service.claim(id)
    service.post(f"/v1/jobs/{id}/cancel", None, status=202)
    assert service.get(f"/v1/jobs/{id}")["status"] == "cancelling"
    assert found() == ([], False)
    with service.db.write() as tx:
        transitions.release(tx, claim)
    assert found() == (["retry"], False)
    service.post(f"/v1/jobs/{id}/retry", None, status=202)
    with service.db.write() as tx:
        transitions.fail_job(tx, service.claim(id), code="budget_spent", message="m")
    assert found() == ([], False)


@pytest.mark.slow
def test_fragments_are_small_parts_of_the_page(service: Service) -> None:
    id = _enrich_job(service)
    for name in ("progress", "news"):
        response = service.http.get(f"/jobs/{id}/{name}")
        assert response.status_code == 200
        assert "<html" not in response.text
        assert len(response.content) < 20_000
    assert service.http.get("/jobs/job_none/progress").status_code == 404


@pytest.mark.slow
def test_a_job_is_watched_to_its_end(sqlite_db: Database, tmp_path: Path) -> None:
    """With a reload and a restart of the server in the middle: the page goes on without help."""
    settings = settings_at(tmp_path / "home")
    with ExitStack() as stack:
        server = stack.enter_context(ExitStack())
        url = server.enter_context(served(create_app(settings, sqlite_db)))
        with Client(url) as client:
            vocabulary_id = client.vocabularies.create("birds", ["crane", "heron"]).id
            id = client.jobs.create("enrich", vocabulary_id=vocabulary_id, strategies=["sentence"]).id
        browser = stack.enter_context(opened(f"{url}/jobs/{id}"))
        page = browser.page
        expect(page.locator(".badge")).to_have_text("queued")
        with sqlite_db.write() as tx:
            claim = claims.claim(tx, claims.ready(tx, ["enrich"])[0], worker="test", lease_s=600)
        assert claim is not None
        expect(page.locator(".badge")).to_have_text("running")
        page.get_by_role("button", name="Pause").click()
        expect(page.locator(".badge")).to_have_text("pausing")
        page.get_by_label("Priority").fill("55")
        page.get_by_label("Priority").select_text()
        with sqlite_db.write() as tx:
            events.add(tx, id, "message", "while somebody types")
        expect(page.get_by_text("while somebody types")).to_be_visible()
        page.keyboard.type("7")  # the input kept its focus and its selection
        page.get_by_role("button", name="Set").click()
        expect(page.get_by_label("Priority")).to_have_attribute("value", "7")
        page.get_by_role("button", name="Resume").click()
        expect(page.locator(".badge")).to_have_text("running")
        with sqlite_db.write() as tx:
            events.add(tx, id, "message", "after the reload")
        expect(page.get_by_text("after the reload")).to_be_visible()
        server.close()
        with sqlite_db.write() as tx:
            transitions.fail_job(tx, claim, code="llm_refused", message="the server refuses")
        port = int(url.rpartition(":")[2])
        stack.enter_context(served(create_app(settings, sqlite_db), port=port))
        expect(page.locator(".badge")).to_have_text("failed")
        expect(page.get_by_text("the server refuses").first).to_be_visible()
        assert page.get_by_role("button", name="Cancel").count() == 0
        page.get_by_role("button", name="Retry").click()
        expect(page.locator(".badge")).to_have_text("queued")
        assert browser.errors == []
