"""The pages of datasets: a folder is registered, its images are seen, and a training starts."""

import re
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
from tests.images import tiny_image

EVIL = "<img src=x onerror=document.title=1>"


@pytest.mark.slow
def test_a_dataset_is_shown_page_by_page(service: Service) -> None:
    vocabulary_id = service.vocabulary(EVIL, "heron", "stork", "ibis")
    path = service.images("heron", "stork", "ibis", count=21)
    body = {"path": path, "vocabulary_id": vocabulary_id, "name": "<b>garden", "split": {"by": "seed", "held_out": 0.5}}
    id = service.post("/v1/datasets", body)["id"]
    assert '<td class="num">63</td>' in service.http.get("/images").text
    first = service.http.get(f"/images/{id}").text
    assert first.count("/thumbnail?size=128") == 60
    assert "&lt;b&gt;garden" in first
    assert "1 labels have no image: <bdi>&lt;img src=x" in first
    (next_url,) = re.findall(r'href="([^"#]+)#images" rel="next"', first)
    assert service.http.get(next_url).text.count("/thumbnail?size=128") == 3
    assert service.http.get(f"/images/{id}", params={"start": 1000}).text.count("No images here") == 1
    assert service.http.get("/images/dst_none").status_code == 404
    new = service.http.get("/images/new", params={"vocabulary": vocabulary_id}).text
    assert f'value="{vocabulary_id}" selected' in new
    assert '<option value="images">' in new


@pytest.mark.slow
def test_from_a_folder_to_a_training(sqlite_db: Database, tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "home")
    for label in ("crane", "heron", "gull"):
        (settings.data / "birds" / label).mkdir(parents=True)
        for number in range(6):
            (settings.data / "birds" / label / f"{number}.jpg").write_bytes(tiny_image(f"{label} {number}"))
    with served(create_app(settings, sqlite_db)) as url:
        with Client(url) as client:
            vocabulary_id = client.vocabularies.create("birds", ["crane", "heron"]).id
        with opened(f"{url}/images/new?vocabulary={vocabulary_id}") as browser:
            page = browser.page
            page.get_by_label("Folder", exact=True).fill("birds")
            page.get_by_label("Split").select_option("seen")
            add = page.get_by_role("button", name="Check the images")
            add.click()
            expect(page.get_by_role("alert")).to_contain_text("gull")
            page.get_by_label("Folders without a label").select_option("skip")
            add.click()
            expect(page.get_by_role("heading", name="Train a student")).to_be_visible()
            image = page.locator(".thumbnails img").first
            expect(image).to_be_visible()
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
            page.get_by_label("Teacher").fill("ViT-B-32:openai")
            page.get_by_label("Student").fill("resnet81")
            page.get_by_role("button", name="Start the training").click()
            expect(page.get_by_role("alert")).to_contain_text("resnet81")
            page.get_by_label("Student").fill("resnet18")
            page.get_by_label("Epochs").fill("2")
            page.get_by_role("button", name="Start the training").click()
            expect(page.get_by_role("heading", name="Distill job")).to_be_visible()
            assert browser.errors == []
    with sqlite_db.read() as tx:
        (job,) = tx.query(Job).all()
        assert job.spec["config"]["schedule"]["epochs"] == 2  # type: ignore[index]
