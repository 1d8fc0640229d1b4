"""From an empty server to a student on one's own disk, in the browser alone: labels and pictures are dropped on pages.

With real processes, the stand-in LLM and the tiny teacher. Nothing is called but what the pages call.
"""

import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from examples.fieldguide.world import write_class_folders
from limbeck.classify.student import load_student
from limbeck.shared.bundle.files import file_sha256
from tests.api.pages.browser import opened
from tests.contract.cluster import TEACHER, running

_NUM_SPECIES = 8
_LONG_MS = 600_000


def drop(page: Page, selector: str, path: Path) -> None:
    """Drop a file or folder of the disk on an element, as a file manager does."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    assert box is not None
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + min(box["height"] / 2, 40)}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    session.detach()


def wait_for_success(page: Page, heading: str) -> None:
    expect(page.get_by_role("heading", name=heading)).to_be_visible()
    expect(page.locator(".badge").first).to_have_text("succeeded", timeout=_LONG_MS)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_from_an_empty_server_to_a_student_on_disk(tmp_path: Path) -> None:
    pictures = tmp_path / "my pictures"
    write_class_folders(tmp_path / "all", ["train"], 12, seed=0)
    pictures.mkdir()
    for folder in sorted((tmp_path / "all").iterdir())[:_NUM_SPECIES]:
        folder.rename(pictures / folder.name)
    labels = tmp_path / "labels.csv"
    names = [folder.name.replace("_", " ") for folder in sorted(pictures.iterdir())]
    labels.write_text("label\n" + "".join(f"{name}\n" for name in names))

    (tmp_path / "service").mkdir()
    uploads = {"LIMBECK_UPLOAD_ROOT": str(tmp_path / "uploads")}
    with running("embedded", tmp_path / "service", settings=uploads) as cluster, opened(cluster.url) as browser:
        page = browser.page
        page.get_by_role("link", name="Enter your labels").first.click()
        page.get_by_label("Name").fill("my creatures")
        page.get_by_label("Domain").fill("field guide creatures")
        drop(page, "#labels", labels)
        expect(page.locator("#preview")).to_contain_text(f"{_NUM_SPECIES} labels")
        page.get_by_role("button", name="Create the vocabulary").click()

        page.get_by_role("button", name="Show calls, tokens and money").click()
        expect(page.locator("#estimate")).to_contain_text("alls")
        page.get_by_role("button", name="Start", exact=True).click()
        wait_for_success(page, "Enrich job")
        page.get_by_role("link", name="voc_").first.click()
        page.get_by_role("link", name="Add images").click()
        page.get_by_label("On this computer: upload them").check()
        drop(page, "#drop", pictures)
        expect(page.locator("#chosen")).to_contain_text("my pictures")
        page.get_by_role("button", name="Check the images").click()
        expect(page.get_by_role("heading", name="Train a student")).to_be_visible(timeout=_LONG_MS)
        expect(page.locator(".thumbnails img").first).to_be_visible()

        page.get_by_label("Teacher").fill(TEACHER)
        page.get_by_label("Student").fill("resnet18")
        page.get_by_label("Epochs").fill("2")
        page.get_by_role("button", name="Start the training").click()
        wait_for_success(page, "Distill job")
        page.get_by_role("link", name="ckp_").first.click()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download all files").click()
        archive = tmp_path / "student.zip"
        download.value.save_as(archive)
        assert browser.errors == []

    with zipfile.ZipFile(archive) as opened_archive:
        opened_archive.extractall(tmp_path / "downloaded")
    (bundle,) = (tmp_path / "downloaded").iterdir()
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["files"]
    for entry in manifest["files"]:
        assert file_sha256(bundle / entry["path"]) == entry["sha256"], entry["path"]
    found = load_student(bundle).classify(next(pictures.rglob("*.png")))
    assert found.labels[0].label in names
