"""The form of a training says what the training would do, and shows errors at their fields."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from api.app import create_app
from api.jobs import machine_checks
from api.jobs.machine_checks import TrainingTrial
from limbeck import Client
from store.db import Database
from store.models import Job
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.api.pages.browser import opened
from tests.images import tiny_image

TRIAL = TrainingTrial(view_s=0.5, step_s=2.0, width=512, chosen={"batch_size": 8, "lr": 0.001})


def fact(page: Page, name: str) -> Locator:
    return page.locator("#training dl > div").filter(has=page.get_by_text(name, exact=True)).locator("dd")


def set_field(page: Page, label: str, value: str) -> None:
    """Type a value and leave the field, as a person does."""
    page.get_by_label(label, exact=True).fill(value)
    page.get_by_label(label, exact=True).blur()


@pytest.mark.slow
def test_the_form_shows_what_a_training_would_do(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """8 images to train on, of which a step takes 2 s and a teacher view 0.5 s."""
    monkeypatch.setattr(machine_checks, "try_student", lambda config, settings: None)
    monkeypatch.setattr(machine_checks, "_measure", lambda spec, data_root, step_images: TRIAL)
    settings = settings_at(tmp_path / "home")
    for label in ("crane", "heron"):
        (settings.data / "birds" / label).mkdir(parents=True)
        for number in range(4):
            (settings.data / "birds" / label / f"{number}.jpg").write_bytes(tiny_image(f"{label} {number}"))
    with served(create_app(settings, sqlite_db)) as url:
        with Client(url) as client:
            vocabulary_id = client.vocabularies.create("birds", ["crane", "heron"]).id
            dataset_id = client.datasets.create(vocabulary_id, "birds", split={"by": "all"}).id
        with opened(f"{url}/images/{dataset_id}") as browser:
            page = browser.page
            set_field(page, "Teacher", "ViT-B-32:openai")
            # 300 epochs of a step of 8 images; 30 views of each of 8 images.
            expect(fact(page, "Time")).to_have_text(
                "about 12 min: 2 min for the teacher (less if cached), 10 min for the steps"
            )
            expect(fact(page, "Steps")).to_have_text("300 of 8 images, 300 epochs")
            expect(fact(page, "Teacher passes")).to_have_text("240, less if cached")
            page.get_by_label("Recipe").select_option("limbeck-small")
            expect(fact(page, "Steps")).to_have_text(re.compile("^6 of 8 images, 6 epochs"))
            check_time_budget(page)
            page.set_viewport_size({"width": 360, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
            assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
            page.get_by_label("Time budget").fill("2m")
            page.get_by_label("Time budget").press("Enter")
            expect(page.get_by_role("heading", name="Distill job")).to_be_visible()
            assert browser.errors == []
    with sqlite_db.read() as tx:
        (job,) = tx.query(Job).all()
        assert job.spec["recipe"] == "limbeck-small"
        assert job.spec["config"]["schedule"]["time_budget_s"] == 120


def check_time_budget(page: Page) -> None:
    """Times that fit, that are too short, that are no time, and beside a number of epochs."""
    time, alert = page.get_by_label("Time budget"), page.get_by_role("alert")
    set_field(page, "Time budget", "1m")
    # Of 60 s, 57 are used: 8 views of 8 images take 32 s, and 12 steps 24 s.
    expect(fact(page, "Steps")).to_have_text(re.compile("^12 of 8 images, 12 epochs"))
    set_field(page, "Time budget", "3s")
    expect(alert).to_contain_text("a time budget of 3.0 s is too short for one epoch")
    expect(time).to_have_attribute("aria-invalid", "true")
    expect(time).to_have_attribute("aria-describedby", "time-note time-error")
    expect(page.locator("#training")).to_have_text("")
    page.get_by_role("button", name="Start the training").click()
    expect(time).to_be_focused()
    set_field(page, "Time budget", "half an hour")
    expect(alert).to_contain_text("“half an hour” is no time: write a number and a unit, such as 90s, 30m, 2h or 1d.")
    set_field(page, "Time budget", "1m")
    set_field(page, "Epochs", "3")
    expect(alert).to_contain_text("both set the length of the training")
    expect(time).to_have_attribute("aria-invalid", "true")
    set_field(page, "Epochs", "")
    expect(alert).to_have_count(0)
    expect(time).to_have_attribute("aria-describedby", "time-note")
    expect(time).not_to_have_attribute("aria-invalid", "true")
