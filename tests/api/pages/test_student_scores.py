"""The form that tries a student offers the scores of "none of these" that the student has, and judges by the chosen."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from api.app import create_app
from limbeck.shared.bundle.open_set import OUTLIERS_FILE
from store.artefacts import Artefacts
from store.db import Database
from store.models import Checkpoint, CheckpointFile
from tests.api.conftest import Service, settings_at
from tests.api.live import served
from tests.api.pages.browser import opened
from tests.api.pages.evaluated import add_student, evaluation, part
from tests.distill.bundle.card.multi_label.test_markdown import evaluation as multi_label_evaluation
from tests.limbeck.small_bundle import COLOURS, add_thresholds, write_bundle

THRESHOLD = {"threshold": 0.5}
FIGURES = evaluation(part({"crane": 0.9}), None, none_of_these=THRESHOLD)


@pytest.mark.parametrize(
    ("more", "files", "offered"),
    [
        ({}, [], []),  # the cosine alone is no choice
        ({"none_of_these_by_score": {"energy": THRESHOLD}}, [], ["cosine", "energy"]),
        ({"none_of_these_by_score": {"energy": THRESHOLD, "outliers": THRESHOLD}}, [], ["cosine", "energy"]),
        ({"none_of_these_by_score": {"outliers": THRESHOLD}}, [OUTLIERS_FILE], ["cosine", "outliers"]),
    ],
)
def test_the_scores_are_those_of_the_student(
    service: Service, more: dict[str, Any], files: list[str], offered: list[str]
) -> None:
    id = add_student(service, FIGURES | more)
    with service.db.write() as tx:
        for path in ("onnx/image.onnx", *files):
            tx.add(CheckpointFile(checkpoint_id=id, path=path, sha256="ab" * 32, size=1, file_key="k"))
    shown = service.http.get(f"/students/{id}").text
    assert [one for one in ("cosine", "energy", "outliers") if f'<option value="{one}">' in shown] == offered
    assert ('<select id="score"' in shown) == bool(offered)
    with service.db.write() as tx:
        row = tx.get_one(Checkpoint, id)
        row.evaluation, row.digest = dict(multi_label_evaluation()) | more, "cd" * 32
    assert '<select id="score"' not in service.http.get(f"/students/{id}").text


@pytest.mark.slow
def test_a_picture_is_judged_by_the_chosen_score(sqlite_db: Database, tmp_path: Path) -> None:
    settings = settings_at(tmp_path / "home")
    bundle, app = tmp_path / "bundle", create_app(settings, sqlite_db)
    write_bundle(bundle)
    add_thresholds(bundle, energy=1.25)
    measured = json.loads((bundle / "evaluation.json").read_text())
    service = Service(app, None, sqlite_db, settings)  # type: ignore[arg-type]  # it is asked by the browser alone
    id = add_student(service, FIGURES | measured)
    store_bundle(sqlite_db, service.artefacts, bundle, id)
    picture = io.BytesIO()
    Image.new("RGB", (80, 50), COLOURS["red thing"]).save(picture, "PNG")
    file = {"name": "red.png", "mimeType": "image/png", "buffer": picture.getvalue()}
    with served(app) as url, opened(f"{url}/students/{id}") as browser:
        browser.page.locator("#file").set_input_files(files=[file])  # type: ignore[list-item]
        expect(browser.page.locator("#scores")).to_contain_text("one of the labels")
        browser.page.get_by_label("Judge “none of these” by").select_option("energy")
        expect(browser.page.locator("#scores")).to_contain_text("By energy: 1")
        expect(browser.page.locator("#scores .message")).to_contain_text("Probably none of these")
        assert (browser.errors, browser.failed_requests) == ([], [])


def store_bundle(db: Database, artefacts: Artefacts, bundle: Path, id: str) -> None:
    """Add the files of a bundle to a student, except for those that it has."""
    with db.write() as tx:
        for file in sorted(path for path in bundle.rglob("*") if path.is_file()):
            path = file.relative_to(bundle).as_posix()
            if tx.get(CheckpointFile, (id, path)) is None:
                stored = artefacts.put_file(file, f"parts/p/t/bundle/{path}")
                sha256, size = stored.sha256, stored.size
                tx.add(CheckpointFile(checkpoint_id=id, path=path, sha256=sha256, size=size, file_key=stored.key))
