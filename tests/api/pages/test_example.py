"""The example: offered on the start page until there is a student, and run by one button."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from api.app import create_app
from limbeck import Client
from store.db import Database
from store.models import Job
from tests.api.conftest import Service, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened
from tests.api.published import publish
from tests.images import tiny_image

LABELS = ["crane", "heron"]
PLAN = {
    "vocabulary": {"name": "pond", "domain": "birds", "labels": LABELS},
    "dataset": {"path": "pond", "name": "pond", "vocabulary_id": "planned", "split": {"by": "seed", "held_out": 0.5}},
    "jobs": [
        {"kind": "enrich", "vocabulary_id": "planned", "strategies": ["sentence"]},
        {
            "kind": "distill",
            "dataset_id": "planned",
            "teacher": "ViT-B-32:openai",
            "text": "sentence",
            "attribute_set_id": "planned",
            "config": {"epochs": 1},
        },
    ],
}
BUTTON = "try-example"


@pytest.mark.slow
def test_the_start_page_offers_it_until_there_is_a_student(
    make_service: Callable[..., Service], tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    service = make_service(example=plan)
    assert BUTTON in service.http.get("/").text
    assert "Try the pond" in service.http.get("/").text
    assert "From 2 labels" in service.http.get("/example").text
    for text in ("{", json.dumps({**PLAN, "jobs": []}), json.dumps({**PLAN, "colour": 1})):
        plan.write_text(text)
        broken = service.http.get("/example", headers={"Accept": "application/json"})
        assert (broken.status_code, broken.json()["code"]) == (503, "example_unusable")
        assert str(plan) in broken.json()["detail"]
    publish(service.db, service.artefacts)
    assert BUTTON not in service.http.get("/").text

    without = make_service()
    assert (without.http.get("/example").status_code, BUTTON in without.http.get("/").text) == (404, False)


@pytest.mark.slow
def test_one_button_runs_all_steps_also_after_a_reload(sqlite_db: Database, tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "home", example=tmp_path / "plan.json")
    (tmp_path / "plan.json").write_text(json.dumps(PLAN))
    for label in LABELS:
        (settings.data / "pond" / label).mkdir(parents=True)
        for number in range(4):
            (settings.data / "pond" / label / f"{number}.png").write_bytes(tiny_image(f"{label} {number}"))
    with served(create_app(settings, sqlite_db)) as url, Client(url) as client, opened(url) as browser:
        page = browser.page
        page.get_by_role("button", name="Try the pond").click()
        expect(page.locator("[data-step=enrich]")).to_contain_text("queued")
        page.reload()
        expect(page.locator("[data-step=enrich]")).to_contain_text("queued")
        expect(page.locator("[data-step=dataset]")).to_contain_text("done")
        (enrich,) = client.jobs.list()
        (vocabulary,) = client.vocabularies.list()
        assert (vocabulary.domain, vocabulary.num_labels) == ("birds", 2)
        document = {"crane": ["a tall bird"], "heron": ["a grey bird"]}
        made = client.attribute_sets.import_file(json.dumps(document), format="dclip", vocabulary_id=vocabulary.id)
        with sqlite_db.write() as tx:
            row = tx.get_one(Job, enrich.id)
            row.status, row.result = "succeeded", {"attribute_set_id": made.id}
        expect(page.get_by_role("heading", name="Distill job")).to_be_visible()
        (training,) = client.jobs.list(kind="distill")
        assert page.url == f"{url}/jobs/{training.id}"
        assert training.spec["attribute_set_id"] == made.id
        assert training.spec["dataset_id"] == next(iter(client.datasets.list())).id
        page.goto(f"{url}/example")
        page.wait_for_load_state("networkidle")
        assert page.locator("[data-step=vocabulary]").inner_text() == "", "it starts only by the button"
        assert (browser.errors, browser.failed_requests) == ([], [])
