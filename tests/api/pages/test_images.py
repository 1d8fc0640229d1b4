"""The pages of datasets: a folder is registered, its images are seen, and a training starts."""

import random
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from api.app import create_app
from limbeck import Client
from store.db import Database
from store.models import Job
from tests.api.conftest import Service, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened
from tests.api.uploads.test_archives import zip_of
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
    assert "1 label has no image: <bdi>&lt;img src=x" in first
    (next_url,) = re.findall(r'href="([^"#]+)#images" rel="next"', first)
    assert service.http.get(next_url).text.count("/thumbnail?size=128") == 3
    assert service.http.get(f"/images/{id}", params={"start": 1000}).text.count("No images here") == 1
    assert service.http.get("/images/dst_none").status_code == 404
    new = service.http.get("/images/new", params={"vocabulary": vocabulary_id}).text
    assert f'value="{vocabulary_id}" selected' in new
    assert '<option value="images">' in new


def test_labels_and_images_are_compared_with_a_vocabulary(service: Service) -> None:
    vocabulary_id = service.vocabulary("Heron", "stork", "ibis", EVIL)
    images = {"layout": "class_folders", "unmatched": "skip"}
    body = {"path": service.images("heron", "stork", "ibis"), "vocabulary_id": vocabulary_id, "images": images}
    id = service.post("/v1/datasets", body | {"split": {"by": "all"}})["id"]
    own = service.get(f"/v1/datasets/{id}/coverage")
    assert (own["num_without_images"], own["labels_without_images"], own["num_without_label"]) == (1, [EVIL], 0)
    other_id = service.vocabulary("heron", "IBIS", "crane", "gull")
    other = service.get(f"/v1/datasets/{id}/coverage", vocabulary_id=other_id)
    assert other["labels_without_images"] == ["crane", "gull"]
    assert other["images_without_label"] == [{"position": 1, "label": "stork", "num_images": 4}]
    assert other["num_without_label"] == 4
    assert service.http.get(f"/v1/datasets/{id}/coverage?vocabulary_id=voc_none").status_code == 404
    html = service.http.get(f"/images/{id}", params={"against": other_id}).text
    assert f'value="{other_id}" selected' in html
    assert "Images without a label there: 4" in html
    assert "Labels without images: 2" in html
    assert f'<a href="/images/{id}?label=3#images"><bdi>&lt;img src=x' in html
    of_stork = service.http.get(f"/images/{id}", params={"label": 1}).text
    assert "Images of <bdi>stork" in of_stork
    assert of_stork.count("/thumbnail?size=128") == of_stork.count('alt="stork"') == 4
    assert service.http.get(f"/images/{id}", params={"label": 3}).text.count("No images here") == 1


@pytest.mark.slow
def test_a_folder_of_this_computer_is_uploaded(sqlite_db: Database, tmp_path: Path) -> None:
    """With a lost connection, a reload in the middle, and a dataset at the end."""
    settings = settings_at(tmp_path / "home", upload_root=tmp_path / "uploads")
    folder = tmp_path / "my birds"
    for label in ("crane", "heron"):
        (folder / label).mkdir(parents=True)
        for number in range(4):
            pixels = random.Random(f"{label} {number}").randbytes(256 * 256 * 3)
            Image.frombytes("RGB", (256, 256), pixels).save(folder / label / f"{number}.bmp")
    (folder / ".DS_Store").write_bytes(b"x")
    with served(create_app(settings, sqlite_db)) as url, Client(url) as client:
        vocabulary_id = client.vocabularies.create("birds", ["crane", "heron", "ibis"]).id
        with opened(f"{url}/images/new?vocabulary={vocabulary_id}") as browser:
            page = browser.page
            page.get_by_role("button", name="Check the images").click()
            expect(page.get_by_role("alert")).to_contain_text("Choose a folder or an archive")
            page.get_by_label("A folder", exact=True).set_input_files(folder)
            expect(page.locator("#chosen")).to_have_text(re.compile("my birds: 8 files, 1.6 MB"))
            page.set_viewport_size({"width": 360, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            page.get_by_label("Split").select_option("seen")
            page.route("**/content", lambda route: route.abort() if sent(client) else route.continue_())
            page.get_by_role("button", name="Check the images").click()
            expect(page.locator("#state")).to_contain_text("no connection: trying again")
            page.reload()
            page.unroute("**/content")
            page.get_by_label("A folder", exact=True).set_input_files(folder)
            page.get_by_label("Split").select_option("seen")
            with page.expect_request("**/content") as request:
                page.get_by_role("button", name="Check the images").click()
            assert request.value.headers["upload-offset"] == str(1 << 20)
            assert request.value.headers["content-digest"].startswith("sha-256=:")
            expect(page.get_by_role("heading", name="Train a student")).to_be_visible()
            expect(page.get_by_role("heading", name="my birds")).to_be_visible()
            expect(page.get_by_text("Labels without images: 1")).to_be_visible()
            assert browser.errors == []
            (upload,) = client.uploads.list()
            stored = tmp_path / "uploads" / upload.id / "files"
            for path in folder.rglob("*.bmp"):
                assert (stored / path.relative_to(folder)).read_bytes() == path.read_bytes()
            # An upload that is there already, and an archive that is refused.
            page.goto(f"{url}/images/new?vocabulary={vocabulary_id}&upload={upload.id}")
            expect(page.get_by_label("Uploaded before")).to_be_checked()
            page.get_by_label("Split").select_option("all")
            page.get_by_role("button", name="Check the images").click()
            expect(page.get_by_role("heading", name="Train a student")).to_be_visible()
            page.goto(f"{url}/images/new?vocabulary={vocabulary_id}")
            archive = tmp_path / "birds.zip"
            archive.write_bytes(zip_of("birds/crane/1.png", "birds/heron/2.png", "../x.png"))
            page.get_by_label("Or an archive").set_input_files(archive)
            page.get_by_role("button", name="Check the images").click()
            expect(page.get_by_role("alert")).to_contain_text("../x.png")


def sent(client: Client) -> int:
    """Bytes that the service has of the newest upload."""
    return next(iter(client.uploads.list())).received


def test_without_uploads_the_page_names_the_setting(service: Service) -> None:
    service.vocabulary()
    html = service.http.get("/images/new").text
    assert "LIMBECK_UPLOAD_ROOT" in html
    assert 'id="drop"' not in html


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
