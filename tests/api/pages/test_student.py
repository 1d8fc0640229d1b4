"""The pages of a student: figures beside teacher and baselines, labels, confusions, and what is missing."""

import copy
import html
import json
import re
from typing import Any

import pytest

from distill.evaluation.samples import Guess, Sample, save_samples
from store.models import Checkpoint
from store.removal.delete import delete_resource
from tests.api.conftest import Service
from tests.api.pages.evaluated import add_job, add_student, evaluation, part
from tests.distill.bundle.card.multi_label.test_markdown import evaluation as multi_label_evaluation
from tests.further_evaluation import FURTHER

STUDENT = evaluation(
    part({"crane": 0.5, "<b>heron": 0.9}, [("crane", "<b>heron", 5, 0.5)]),
    part({"stork": 0.25}, [("stork", "ibis", 7, 0.7)]),
    teacher=[evaluation(part({"crane": 0.8, "<b>heron": 1.0}), part({"stork": 0.65}))],
)
BY_NAMES = evaluation(part({"crane": 0.7, "<b>heron": 0.4}), part({"stork": 0.25}))
_AT = {"dataset_id": "dst_1", "vocabulary_id": "voc_1"}


def _text(page: str) -> str:
    """The text of a page, with a space between elements."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def _rows(page: str) -> list[list[str]]:
    """The cells of the rows of all tables."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [[_text(cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)] for row in rows]


def _requests(page: str) -> list[dict[str, Any]]:
    return [json.loads(html.unescape(body)) for body in re.findall(r'data-body="([^"]+)"', page)]


@pytest.mark.slow
def test_figures_stand_beside_those_of_teacher_and_baselines(service: Service) -> None:
    id = add_student(service, STUDENT)
    first = service.http.get(f"/students/{id}").text
    assert ["This student", "70.0% 65.0 to 75.0", "25.0% 20.0 to 30.0", "43.2% 40.0 to 45.0"] in _rows(first)
    assert ["Teacher t", "90.0% 85.0 to 95.0", "65.0% 60.0 to 70.0", "43.2% 40.0 to 45.0"] in _rows(first)
    wanted = _requests(first)
    assert [one["kind"] for one in wanted] == ["evaluate", "distill"]
    assert (wanted[0]["checkpoint_id"], wanted[0]["text"]) == (id, "names")
    assert wanted[1]["config"]["protocol"] == "closed_set"
    assert "Gain:" not in first
    assert "<b>heron" not in first
    assert "has no ONNX files" in first
    assert f"hf-hub:limbeck/{id}" in first
    assert f"/v1/checkpoints/{id}/files/targets/a%20b%23%C3%BC.json" in first

    # Evaluations that did not succeed, or of other images, are not shown.
    spec = {**_AT, "subject": {"checkpoint_id": id}, "text": "names"}
    add_job(service.db, "job_2", "evaluate", spec, BY_NAMES, "failed")
    add_job(service.db, "job_3", "evaluate", {**spec, "dataset_id": "dst_2"}, BY_NAMES, "succeeded")
    assert _requests(service.http.get(f"/students/{id}").text) == wanted
    add_job(service.db, "job_4", "evaluate", spec, BY_NAMES, "succeeded")
    closed_set = {**_AT, "config": {"data": {"protocol": "closed_set"}}}
    add_job(service.db, "job_5", "distill", closed_set, {"id": part({"crane": 0.95}), "ood": None}, "succeeded")
    complete = service.http.get(f"/students/{id}").text
    assert _requests(complete) == []
    assert ["Closed-set baseline", "95.0% 90.0 to 100.0", "not measured", "not measured"] in _rows(complete)
    assert "for this student. Labels that gain: 1; that lose: 1; that stay: 1." in _text(complete)


@pytest.mark.slow
def test_labels_are_ordered_searched_and_paged(service: Service) -> None:
    id = add_student(service, STUDENT)
    spec = {**_AT, "subject": {"teacher": "t"}, "text": "names"}
    add_job(service.db, "job_2", "evaluate", spec, BY_NAMES, "succeeded")

    def labels(**query: object) -> list[str]:
        response = service.http.get(f"/students/{id}/labels", params=query)  # type: ignore[arg-type]
        assert response.status_code == 200
        return [row[0] for row in _rows(response.text) if row]

    assert labels() == ["stork", "crane", "<b>heron"]
    assert labels(order="best") == ["<b>heron", "crane", "stork"]
    assert labels(order="gain") == ["<b>heron", "stork", "crane"]  # the teacher's: +60, +40, +10
    assert labels(order="behind") == ["stork", "crane", "<b>heron"]
    assert labels(part="id") == ["crane", "<b>heron"]
    assert labels(q="RO") == ["<b>heron"]
    assert labels(q="nothing") == []
    assert service.http.get(f"/students/{id}/labels", params={"part": "x"}).status_code == 422
    assert service.http.get("/students/ckp_none/labels").status_code == 404
    with service.db.write() as tx:
        many = {f"label {number:03}": number / 250 for number in range(250)}
        row = tx.get_one(Checkpoint, id)
        row.evaluation, row.digest = evaluation(part(many), None), "other"
    page = service.http.get(f"/students/{id}/labels").text
    assert "1 to 100 of 250" in _text(page)
    (next_url,) = re.findall(r'href="([^"]+)" rel="next"', page)
    assert [row[0] for row in _rows(service.http.get(html.unescape(next_url)).text) if row][0] == "label 100"


@pytest.mark.slow
def test_confusions_and_a_student_without_measurement(service: Service) -> None:
    id = add_student(service, STUDENT, text="names")
    page = service.http.get(f"/students/{id}/confusions?part=ood").text
    assert [row[:3] for row in _rows(page) if row] == [["stork", "ibis", "7"]]
    assert "stork taken for ibis: 70%" in page
    assert [row for row in _rows(service.http.get(f"/students/{id}/confusions?q=x").text) if row] == []
    with service.db.write() as tx:
        row = tx.get_one(Checkpoint, id)
        row.evaluation, row.digest = {"text": "names", "id": None, "ood": None, "joint": None}, "other"
    assert "trained on all images" in service.http.get(f"/students/{id}").text
    assert "There are no images of these labels" in service.http.get(f"/students/{id}/confusions").text


@pytest.mark.slow
def test_a_label_opens_its_images_with_prediction_and_runner_up(service: Service) -> None:
    id = add_student(service, STUDENT)
    assert "has no sample images" in service.http.get(f"/students/{id}/label?name=crane").text
    missing = service.http.get(f"/v1/checkpoints/{id}/samples?label=crane")
    assert (missing.status_code, missing.json()["code"]) == (404, "samples_not_found")
    heron = Guess("<b>heron", 0.75)
    samples = [
        Sample("<b>heron", 5, True, (heron,)),
        Sample("crane", 3, False, (heron, Guess("crane", 0.25))),
        Sample("crane", 4, True, (Guess("crane", 0.5), heron)),
        Sample("crane 2", 6, True, (heron,)),
    ]
    save_samples(service.settings.home / "samples.jsonl", samples)
    with service.db.write() as tx:
        stored = service.artefacts.put_file(service.settings.home / "samples.jsonl", "parts/p/t/samples.jsonl")
        tx.get_one(Checkpoint, id).samples_key = stored.key
    body = service.get(f"/v1/checkpoints/{id}/samples", label="crane")
    assert [(one["row"], one["is_right"]) for one in body["data"]] == [(3, False), (4, True)]
    assert body["data"][0]["guesses"] == [
        {"label": "<b>heron", "confidence": 0.75},
        {"label": "crane", "confidence": 0.25},
    ]
    assert body["data"][0]["thumbnail"] == "/v1/datasets/dst_1/images/3/thumbnail"
    unknown = service.http.get(f"/v1/checkpoints/{id}/samples?label=cr")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "label_not_evaluated")
    (address,) = re.findall(r'href="([^"]+)"><bdi>&lt;b&gt;heron', service.http.get(f"/students/{id}/labels").text)
    page = service.http.get(html.unescape(address)).text
    assert ("/v1/datasets/dst_1/images/5/thumbnail?size=160" in page, "<b>heron" in page) == (True, False)
    assert "<b>heron 75.0%" in _text(page)
    assert service.http.get(f"/students/{id}/label?name=none").status_code == 404
    with service.db.write() as tx:
        assert "parts/p/t/samples.jsonl" in delete_resource(tx, "checkpoint", id).file_keys


def test_a_student_of_images_with_several_labels_shows_average_precision(service: Service) -> None:
    figures = dict(multi_label_evaluation())
    id = add_student(service, figures, text="names")
    first = service.http.get(f"/students/{id}").text
    text = _text(first)
    assert "Mean average precision of the labels in percent" in text
    assert ["This student", "81.2% 75.0 to 86.0", "40.0% 75.0 to 86.0", "42.0%"] in _rows(first)
    assert "Most frequent confusions" not in text
    assert [one["kind"] for one in _requests(first)] == []  # no closed-set baseline, which needs one label an image
    labels = service.http.get(f"/students/{id}/labels").text
    assert "Average precision" in _text(labels)
    assert any(row[:1] == ["car"] and "72.4%" in row for row in _rows(labels))
    label = _text(service.http.get(f"/students/{id}/label?name=car").text)
    assert "no sample images of a student whose images have several labels" in label
    assert "81.2% mAP" in _text(service.http.get("/students").text)


def test_what_was_measured_beside_accuracy_is_shown(service: Service) -> None:
    figures = evaluation(part({"crane": 0.9}), part({"heron": 0.5}), recall=FURTHER["recall"])
    id = add_student(service, figures)
    spec = {"dataset_id": "dst_1", "text": "names", "subject": {"checkpoint_id": id}}
    further = {field: FURTHER[field] for field in ("open_set", "domains")}
    add_job(service.db, "job_8", "evaluate", spec, {**figures, **further}, "succeeded")
    add_job(service.db, "job_9", "evaluate", spec, {**figures, "corruptions": FURTHER["corruptions"]}, "succeeded")
    shown = service.http.get(f"/students/{id}").text
    section = shown[shown.index("Beyond accuracy") : shown.index("Try it")]
    assert section.count("Measured by") == section.count("/jobs/job_8") + section.count("/jobs/job_9") >= 3
    for text in ("unseen | labels", "93.4%", "sketch", "35.0%", "jpeg compression", "mCE 0.75", "image to image"):
        assert text in section, text
    assert "<svg" in section


def test_a_baseline_that_loses_nothing_under_a_kind_is_named(service: Service) -> None:
    figures = evaluation(part({"crane": 0.9}), part({"heron": 0.5}))
    id = add_student(service, figures)
    corruptions = copy.deepcopy(FURTHER["corruptions"])
    corruptions["id"].update(mce=None, relative_mce=None)
    corruptions["id"]["kinds"][1].update(ce=None, relative_ce=None)
    spec = {"dataset_id": "dst_1", "text": "names", "subject": {"checkpoint_id": id}}
    add_job(service.db, "job_9", "evaluate", spec, {**figures, "corruptions": corruptions}, "succeeded")
    shown = service.http.get(f"/students/{id}").text
    assert "42.0%. mCE is not defined, because the baseline loses nothing under jpeg compression." in shown


def test_without_further_results_there_is_no_section(service: Service) -> None:
    id = add_student(service, evaluation(part({"crane": 0.9}), None))
    assert "Beyond accuracy" not in service.http.get(f"/students/{id}").text
