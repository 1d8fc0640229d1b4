"""A student is tried with a picture: its labels, new words, limits, and what is missing."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from api.readers import student_models
from api.routes import classify
from store.models import Checkpoint, CheckpointFile
from tests.api.conftest import Service
from tests.api.published import SHA, publish
from tests.limbeck.small_bundle import COLOURS, add_thresholds, write_bundle


def _picture(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (80, 50), colour).save(out, "PNG")
    return out.getvalue()


RED = _picture(COLOURS["red thing"])


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are decoded in this process."""

    class Here:
        def run(self, function: Any, *args: object) -> object:
            return function(*args)

    monkeypatch.setattr(student_models, "PROCESSES", Here())


def _student(service: Service, folder: Path, *, with_text: bool = False) -> str:
    write_bundle(folder, with_text=with_text)
    return _stored(service, folder)


def _stored(service: Service, folder: Path) -> str:
    publish(service.db, service.artefacts)
    with service.db.write() as tx:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            path = file.relative_to(folder).as_posix()
            if path == "README.md":  # `publish` has made one
                continue
            stored = service.artefacts.put_file(file, f"parts/p/t/bundle/{path}")
            size, sha256, key = stored.size, stored.sha256, stored.key
            tx.add(CheckpointFile(checkpoint_id="ckp_1", path=path, sha256=sha256, size=size, file_key=key))
        tx.get_one(Checkpoint, "ckp_1").digest = SHA
    return "/v1/checkpoints/ckp_1/classify"


@pytest.mark.usefixtures("here")
def test_a_picture_is_classified_among_labels_and_new_words(service: Service, tmp_path: Path) -> None:
    path = _student(service, tmp_path / "bundle", with_text=True)
    first = service.http.post(path, content=RED, params={"top": 2})
    body = first.json()
    assert first.status_code == 200, first.text
    assert [(one["label"], one["is_new"]) for one in body["labels"]] == [("red thing", False), ("blue thing", False)]
    assert (body["none_of_these"], body["cosine"] > 0.99) == (False, True)
    # The target of the word is that of the label, so that both have the same score.
    words = service.http.post(path, content=RED, params={"word": [" red  red ", "blue thing"], "top": 2}).json()
    assert sorted((one["label"], one["is_new"]) for one in words["labels"]) == [("red red", True), ("red thing", False)]
    assert words["labels"][0]["confidence"] == pytest.approx(words["labels"][1]["confidence"], abs=1e-5)
    assert words["none_of_these"] is None
    # A damaged file of the cache is fetched again.
    service.app.state.student_models = student_models.StudentModels(service.artefacts, service.settings.cache)
    (service.settings.cache / "students" / SHA / "onnx" / "image.onnx").write_bytes(b"damaged")
    assert service.http.post(path, content=RED, params={"top": 2}).json() == body


@pytest.mark.usefixtures("here")
def test_a_picture_is_judged_by_another_score(service: Service, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    add_thresholds(tmp_path / "bundle", energy=1.25)
    path = _stored(service, tmp_path / "bundle")
    plain = service.http.post(path, content=RED).json()
    assert (plain["score"], plain["score_value"], plain["none_of_these"]) == ("cosine", plain["cosine"], False)
    body = service.http.post(path, content=RED, params={"score": "energy"}).json()
    assert (body["score"], body["none_of_these"], body["labels"]) == ("energy", True, plain["labels"])
    assert body["cosine"] <= body["score_value"] < 1.25
    problem = service.http.post(path, content=RED, params={"score": "outliers"})
    assert (problem.status_code, problem.json()["code"]) == (409, "score_missing")
    assert problem.json()["detail"].startswith("the student has no look-alikes for the score outliers")
    assert service.http.post(path, content=RED, params={"score": "logit"}).status_code == 422


@pytest.mark.usefixtures("here")
def test_what_is_missing_or_too_large_is_said(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _student(service, tmp_path / "bundle")

    def refusal(**request: Any) -> tuple[int, str]:
        response = service.http.post(path, **{"content": RED, **request})
        return response.status_code, response.json()["code"]

    assert refusal(params={"word": "heron"}) == (409, "no_text_encoder")
    assert refusal(content=b"") == (422, "image_unreadable")
    assert refusal(params={"top": 0})[0] == 422
    assert refusal(params={"word": ["x"] * 51})[0] == 422
    assert refusal(content=bytes(20 * 2**20 + 1)) == (413, "body_too_large")
    assert service.http.post("/v1/checkpoints/ckp_none/classify", content=RED).status_code == 404
    monkeypatch.setattr(classify, "_waiting", classify.threading.BoundedSemaphore(1))
    with classify._place():
        assert refusal() == (503, "too_many_pictures")
    service.app.state.student_models = student_models.StudentModels(service.artefacts, service.settings.cache)
    monkeypatch.setitem(sys.modules, "limbeck.classify.student", None)
    assert refusal() == (503, "onnxruntime_missing")
    with service.db.write() as tx:
        tx.delete(tx.get_one(CheckpointFile, ("ckp_1", "onnx/image.onnx")))
    assert refusal() == (409, "no_onnx")


@pytest.mark.nightly
def test_a_bomb_does_not_hurt_the_service(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _student(service, tmp_path / "bundle")
    monkeypatch.setattr(student_models.PROCESSES, "memory_bytes", 900_000_000)
    bomb = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(bomb, "PNG")
    response = service.http.post(path, content=bomb.getvalue())
    assert (response.status_code, response.json()["code"]) == (422, "image_too_costly")
    assert service.http.post(path, content=RED).json()["labels"][0]["label"] == "red thing"
