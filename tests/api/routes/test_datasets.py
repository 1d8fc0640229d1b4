"""Datasets: indexing of class folders, folders that are rejected, the check of the images, and the report."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api.readers.folder_locks import FolderLocks
from distill.data.image_index import ImageIndex
from limbeck.shared.images.dataset_report import DatasetReport
from store import resources
from store.models import Dataset
from tests.api.conftest import Service
from tests.images import tiny_image


def test_class_folders_are_matched_and_split(service: Service, tmp_path: Path) -> None:
    vocabulary_id = service.vocabulary()
    path = service.images("001.Crane", "002.heron", "Stork", "IBIS", count=10)
    body = {
        "name": "birds",
        "path": path,
        "vocabulary_id": vocabulary_id,
        "split": {"by": "seed", "seed": 1, "id_fraction": 0.5, "held_out": 0.3},
    }
    created = service.post("/v1/datasets", body)
    assert created["counts"] == {"train": 14, "held_out": 6, "ood": 20, "id_labels": 2, "ood_labels": 2}
    assert created.pop("reused") is False
    assert created == service.get(f"/v1/datasets/{created['id']}") == service.get("/v1/datasets")["data"][0]
    with service.db.read() as tx:
        key = resources.dataset(tx, created["id"]).manifest_key
    assert key == f"datasets/{created['id']}/manifest.jsonl"
    service.artefacts.get_file(key, tmp_path / "manifest.jsonl")
    image_index = ImageIndex.load(tmp_path / "manifest.jsonl")
    assert (image_index.digest, len(image_index), image_index.labels[0]) == (created["digest"], 40, "crane")


def test_an_equal_dataset_is_reused_until_a_file_changes(service: Service) -> None:
    body = {"path": service.images("crane", "heron", "stork", "ibis"), "vocabulary_id": service.vocabulary()}
    first = service.http.post("/v1/datasets", json=body)
    again = service.http.post("/v1/datasets", json=body | {"name": "other"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"reused": True}
    other = {"vocabulary_id": service.vocabulary("crane", "heron"), "images": {"unmatched": "skip"}}
    for change in ({"split": {"by": "all"}}, {"check": "names"}, other):
        assert service.http.post("/v1/datasets", json=body | change).status_code == 201
    changed = service.data / body["path"] / "crane" / "0.jpg"
    changed.write_bytes(tiny_image("another picture"))
    assert service.post("/v1/datasets", body, status=201)["digest"] == first.json()["digest"]
    folders = {path.name for path in (service.settings.home / "artefacts" / "datasets").iterdir()}
    assert folders == {row["id"] for row in service.get("/v1/datasets")["data"]}


def test_labels_of_the_same_name_are_distinguished_by_their_sense(service: Service) -> None:
    labels = [{"name": "crane", "sense": "bird"}, {"name": "crane", "sense": "machine"}, "heron"]
    vocabulary_id = service.post("/v1/vocabularies", {"name": "v", "labels": labels})["id"]
    path = service.images("crane (bird)", "diggers", "heron")
    body = {"path": path, "vocabulary_id": vocabulary_id, "folder_map": {"diggers": "crane (machine)"}}
    created = service.post("/v1/datasets", body)
    assert (created["name"], created["counts"]["id_labels"] + created["counts"]["ood_labels"]) == (path, 3)


def test_published_layout_and_a_subset_of_labels(service: Service) -> None:
    wnids = ("n01440764", "n02012849", "n01443537")
    content = b"n01440764 tench, Tinca tinca\nn02012849 crane\nn01443537 goldfish\n"
    headers = {"Content-Type": "text/plain; charset=utf-8"}
    vocabulary_id = service.http.post("/v1/vocabularies?name=v", content=content, headers=headers).json()["id"]
    path = service.images(*(f"{part}/{wnid}" for part in ("train", "val") for wnid in wnids), at="imagenet")
    body: dict[str, Any] = {"path": path, "vocabulary_id": vocabulary_id, "split": {"by": "parts"}}
    body["images"] = {"layout": "imagenet", "labels": ["Tinca tinca", "Crane"]}
    counts = service.post("/v1/datasets", body)["counts"]
    assert (counts["train"], counts["held_out"], counts["id_labels"]) == (8, 8, 2)
    body["images"] = {"labels": ["tench", "cranes"], "folders": ["trains"]}
    problem = service.rejection("/v1/datasets", body)
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("no_such_folder", "/images/folders/0")
    assert '"cranes" is no label of the vocabulary; near: crane' in problem["detail"]


def test_part_folders_and_overlap(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    for folder in ("train/crane", "train/heron", "val_on_train/crane", "val/stork"):
        service.images(folder, at="published")
    body: dict[str, Any] = {"path": "published", "vocabulary_id": vocabulary_id, "split": {"by": "folders"}}
    assert service.post("/v1/datasets", body)["counts"]["ood"] == 4
    service.images("val/heron", at="published")
    problem = service.rejection("/v1/datasets", body)
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("id_ood_overlap", "/split")
    service.images("crane", "heron", "stork")
    split = {"by": "list", "id": ["crane", "heron"], "ood": ["stork", "Crane"]}
    problem = service.rejection("/v1/datasets", {"path": "images", "vocabulary_id": vocabulary_id, "split": split})
    assert problem["code"] == "id_ood_overlap"


def test_images_can_be_given_by_a_table(service: Service, tmp_path: Path) -> None:
    vocabulary_id = service.vocabulary()
    service.images("all")
    rows = ["0.jpg,crane,by a lake", "1.jpg,crane|heron,", "2.jpg,heron,", "3.jpg,heron,"]
    (service.data / "images" / "birds.csv").write_text("\n".join(["image,species,caption", *rows]))
    images = {"layout": "table", "file": "birds.csv", "image_folder": "all", "label_separator": "|"}
    body = {"path": "images", "vocabulary_id": vocabulary_id, "split": {"by": "all"}, "images": images}
    problem = service.rejection("/v1/datasets", body)
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("several_labels", "/images/several_labels")
    created = service.post("/v1/datasets", {**body, "images": {**images, "several_labels": "each"}})
    assert created["counts"]["train"] == 5
    with service.db.read() as tx:
        key = resources.dataset(tx, created["id"]).manifest_key
    service.artefacts.get_file(key, tmp_path / "manifest.jsonl")
    items = ImageIndex.load(tmp_path / "manifest.jsonl").items
    assert {item.path: item.caption for item in items}["all/0.jpg"] == "by a lake"
    for field, value in (("columns", {"label": "genus"}), ("columns", {"label": -1}), ("labels_are", "numbers")):
        problem = service.rejection("/v1/datasets", {**body, "images": {**images, field: value}})
        assert problem["errors"][0]["pointer"].startswith(f"/images/{field}"), problem


def create_links_out_of_the_data_root(service: Service) -> None:
    outside = service.settings.home / "outside"
    (outside / "crane").mkdir(parents=True)
    (outside / "crane" / "0.jpg").write_bytes(b"x")
    (service.data / "link").symlink_to(outside)
    (service.data / "inner").symlink_to(service.data / "images")
    (service.data / "linked" / "crane").mkdir(parents=True)
    (service.data / "linked" / "heron").symlink_to(outside / "crane")
    (service.data / "linked" / "crane" / "0.jpg").write_bytes(b"x")


@pytest.mark.image_input(
    "Files, folders and shards",
    "file names that are not UTF-8, registered by the API",
    "are indexed; an error about them is a 422 whose text is readable",
)
def test_names_of_any_bytes_are_indexed_or_named(service: Service, tmp_path: Path) -> None:
    vocabulary_id = service.vocabulary()
    path = service.images("crane", "heron", count=4)
    name = os.fsdecode(b"caf\xe9.jpg")
    (service.data / path / "crane" / name).write_bytes(tiny_image(name))
    body = {"path": path, "vocabulary_id": vocabulary_id, "split": {"by": "seed", "id_fraction": 1}}
    created = service.post("/v1/datasets", body)
    assert created["counts"]["train"] + created["counts"]["held_out"] == 9
    with service.db.read() as tx:
        key = resources.dataset(tx, created["id"]).manifest_key
    service.artefacts.get_file(key, tmp_path / "manifest.jsonl")
    assert f"crane/{name}" in set(ImageIndex.load(tmp_path / "manifest.jsonl").paths)
    stray = service.data / path / os.fsdecode(b"stra\xdfe\n")
    stray.mkdir()
    (stray / name).write_bytes(tiny_image("stray"))
    problem = service.rejection("/v1/datasets", body)
    assert problem["code"] == "folder_matches_no_label"
    assert r"straße\n" in problem["errors"][0]["detail"]
    headers = {"content-type": "application/json"}
    response = service.http.post("/v1/datasets", content=json.dumps({**body, "path": "caf\udce9"}), headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "text_invalid")


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"path": "../outside"}, "outside_root", "/path"),
    ({"path": "images/../../outside"}, "outside_root", "/path"),
    ({"path": "/etc"}, "outside_root", "/path"),
    ({"path": "link"}, "link", "/path"),
    ({"path": "link/crane"}, "link", "/path"),
    ({"path": "inner"}, "link", "/path"),
    ({"path": "linked"}, "link", "/path"),
    ({"path": "nowhere"}, "no_such_folder", "/path"),
    ({"path": "images/crane/0.jpg"}, "no_such_folder", "/path"),
    ({"path": "images/crane"}, "no_images", "/path"),
    ({"path": "images\u0000"}, "text_invalid", "/path"),
    ({"path": "stray"}, "folder_matches_no_label", "/folder_map"),
    ({"path": "images", "folder_map": {"crane": "albatross"}}, "unknown_label", "/folder_map/crane"),
    ({"path": "images", "split": {"by": "list", "id": ["crane", "auk"]}}, "unknown_label", "/split/id/1"),
    ({"path": "images", "split": {"by": "seed", "id_fraction": 2}}, "invalid_request", "/split/id_fraction"),
    ({"path": "images", "split": {"by": "seed", "seed": "soon"}}, "invalid_request", "/split/seed"),
    ({"path": "images", "split": {"by": "coin"}}, "invalid_request", "/split"),
    (
        {"path": "images", "split": {"by": "image_lists", "train": "../secret.txt", "ood": "b"}},
        "outside_root",
        "/split/train",
    ),
    ({"path": "images", "vocabulary_id": "voc_none"}, "vocabulary_not_found", "/vocabulary_id"),
    ({"path": "images", "vocabulary_id": None}, "invalid_request", "/vocabulary_id"),
    ({"path": 7}, "invalid_request", "/path"),
    ({"path": "images", "name": " "}, "invalid_request", "/name"),
    ({"path": "images", "root": "/"}, "invalid_request", "/root"),
    ({"path": "x" * 300}, "no_such_folder", "/path"),
    ({"path": "images", "unlabelled": ["stray", "x" * 2000]}, "no_such_folder", "/unlabelled/1"),
    ({"path": "images", "unlabelled": ["../outside"]}, "outside_root", "/unlabelled/0"),
    ({"path": "images", "check": "some"}, "invalid_request", "/check"),
    ({"path": "images", "check": "names", "duplicates": "move"}, "invalid_request", "/duplicates"),
    ({"path": "images", "check": "names", "near_duplicates": "refuse"}, "invalid_request", "/near_duplicates"),
    ({}, "invalid_request", "/path"),
]


def test_invalid_folders_are_rejected(service: Service, subtests: pytest.Subtests) -> None:
    vocabulary_id = service.vocabulary()
    service.images("crane", "heron")
    service.images("crane", "unheard of", at="stray")
    create_links_out_of_the_data_root(service)
    for body, code, pointer in BAD:
        with subtests.test(body=str(body)):
            problem = service.rejection("/v1/datasets", {"vocabulary_id": vocabulary_id, **body})
            assert (problem["code"], problem["errors"][0]["pointer"]) == (code, pointer), problem
            assert str(service.data) not in str(problem)
            assert len(problem["detail"].splitlines()) == 1
    with service.db.read() as tx:
        assert tx.query(Dataset).count() == 0
    assert not list((service.settings.home / "artefacts").rglob("manifest.jsonl"))


@pytest.mark.image_input(
    "Duplicates and labels without images",
    "a folder with damaged files, copies and a label without a usable image is registered",
    "its report is at `/v1/datasets/{id}/report`, its warnings are fields of the dataset",
)
def test_report_of_a_folder_with_faults(service: Service, tmp_path: Path) -> None:
    vocabulary_id = service.vocabulary("crane", "heron", "stork", "ibis", "auk")
    path = service.images("crane", "heron", "stork", "ibis", count=8)
    for file in (service.data / path / "stork").iterdir():
        file.write_bytes(b"no picture")
    (service.data / path / "crane" / "5.jpg").write_bytes(b"")
    split = {"by": "list", "id": ["crane", "heron"], "ood": ["ibis"]}
    body = {"path": path, "vocabulary_id": vocabulary_id, "split": split}
    created = service.post("/v1/datasets", body)
    report = DatasetReport.model_validate(service.get(f"/v1/datasets/{created['id']}/report"))
    assert (report.check, report.num_images, report.num_used) == ("full", 32, 23)
    assert report.parts == created["counts"]
    assert report.labels_without_usable_images.examples == ("stork",)
    assert report.labels_without_images.examples == ("auk",)
    assert sum(files.count for files in report.unreadable) == 9
    assert list(report.warnings) == created["warnings"] == service.get(f"/v1/datasets/{created['id']}")["warnings"]
    with service.db.read() as tx:
        service.artefacts.get_file(resources.dataset(tx, created["id"]).manifest_key, tmp_path / "manifest.jsonl")
    image_index = ImageIndex.load(tmp_path / "manifest.jsonl")
    assert len(image_index) == 23
    assert image_index.labels.index("stork") not in {*image_index.id_labels, *image_index.ood_labels}


def test_copies_are_refused_or_moved(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    path = service.images("crane", "heron", "stork", "ibis")
    shutil.copyfile(service.data / path / "crane" / "0.jpg", service.data / path / "stork" / "0.jpg")
    split = {"by": "list", "id": ["crane", "heron"], "ood": ["stork", "ibis"]}
    body = {"path": path, "vocabulary_id": vocabulary_id, "split": split}
    problem = service.rejection("/v1/datasets", body)
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("duplicate_images", "/duplicates")
    assert "stork/0.jpg" in problem["detail"]
    assert not list((service.settings.home / "artefacts").rglob("report.json"))
    assert service.post("/v1/datasets", {**body, "duplicates": "move"})["counts"]["ood"] == 7
    kept = service.post("/v1/datasets", {**body, "duplicates": "keep"})
    assert (kept["counts"]["ood"], len(kept["warnings"])) == (8, 2)


def test_names_only(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    path = service.images("crane", "heron", "stork", "ibis")
    for file in (service.data / path).rglob("*.jpg"):
        file.write_bytes(b"not opened")
    created = service.post("/v1/datasets", {"path": path, "vocabulary_id": vocabulary_id, "check": "names"})
    report = service.get(f"/v1/datasets/{created['id']}/report")
    assert (report["check"], report["num_used"], report["sizes"]) == ("names", 16, None)
    assert created["warnings"] == ["no image was opened: damaged files and duplicates are not known"]


def test_dataset_of_an_earlier_version_has_no_report(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    with service.db.write() as tx:
        resources.add_dataset(
            tx,
            id="dst_old",
            vocabulary_id=vocabulary_id,
            name="old",
            path="old",
            split={},
            counts={},
            digest="0" * 64,
            manifest_key="m",
        )
    response = service.http.get("/v1/datasets/dst_old/report")
    assert (response.status_code, response.json()["code"]) == (404, "dataset_report_not_found")
    assert service.http.get("/v1/datasets/dst_none/report").json()["code"] == "dataset_not_found"
    assert service.get("/v1/datasets/dst_old")["warnings"] == []


def test_registrations_leave_threads_for_other_requests(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"path": service.images("crane", "heron"), "vocabulary_id": service.vocabulary()}
    monkeypatch.setattr("api.routes.datasets._being_checked", FolderLocks(0))
    response = service.http.post("/v1/datasets", json=body)
    assert (response.status_code, response.json()["code"]) == (503, "too_many_checks")
    assert response.headers["retry-after"] == "10"


def test_a_repeated_request_waits_and_gets_the_first_response(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    body = {"path": service.images("crane", "heron", "stork", "ibis"), "vocabulary_id": vocabulary_id}
    with ThreadPoolExecutor(3) as pool:
        created = list(pool.map(lambda _: service.post("/v1/datasets", body, **{"Idempotency-Key": "one"}), range(3)))
    assert created[0] == created[1] == created[2]
    assert len(service.get("/v1/datasets")["data"]) == 1
