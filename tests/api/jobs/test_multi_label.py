"""Multi-label datasets in the service: registration, rows and labels of the index, and what jobs refuse."""

from typing import Any

import pytest

from store import resources
from tests.api.conftest import Service
from tests.api.jobs.test_job_requests import TEACHER, create_checkpoint

ROWS = {"0.jpg": "crane|heron", "1.jpg": "crane", "2.jpg": "heron", "3.jpg": "crane|stork"}
IMAGES = {"layout": "table", "file": "t.csv", "image_folder": "all", "label_separator": "|", "several_labels": "all"}
SPLIT = {"by": "list", "id": ["crane", "heron"], "ood": ["stork"], "held_out": 0}
FITTING = {"losses": {"cls": 0, "asl": 1}}


def dataset(service: Service, vocabulary_id: str, **changes: Any) -> dict[str, Any]:
    service.images("all", at="scenes")
    rows = "".join(f"{name},{labels}\n" for name, labels in ROWS.items())
    (service.data / "scenes" / "t.csv").write_text(f"image,label\n{rows}")
    body = {"path": "scenes", "vocabulary_id": vocabulary_id, "split": SPLIT, "images": IMAGES}
    return service.post("/v1/datasets", {**body, "name": "scenes", **changes})


def test_a_dataset_states_its_labels_per_image(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    created = dataset(service, vocabulary_id)
    assert created["labels_per_image"] == 1.5
    assert (
        created["counts"] | {"train": 3, "held_out": 0, "ood": 1, "id_labels": 2, "ood_labels": 1} == created["counts"]
    )
    assert service.get(f"/v1/datasets/{created['id']}")["labels_per_image"] == 1.5
    report = service.get(f"/v1/datasets/{created['id']}/report")
    assert report["labels_per_image"] == {"min": 1, "mean": 1.5, "max": 2, "num_several": 2}
    single = service.post(
        "/v1/datasets", {"path": service.images("crane", "heron", at="b"), "vocabulary_id": vocabulary_id}
    )
    assert single["labels_per_image"] is None
    assert service.get(f"/v1/datasets/{single['id']}/report")["labels_per_image"] is None


def test_rows_and_labels_of_the_index(service: Service) -> None:
    id = dataset(service, service.vocabulary())["id"]
    with service.db.read() as tx:
        key = resources.dataset(tx, id).manifest_key
    rows = service.app.state.index_rows
    assert rows.label_counts(key) == {0: 3, 1: 2, 2: 1}
    assert [item.path for _, item in rows.rows_of_label(key, 1, 0, 9)] == ["all/0.jpg", "all/2.jpg"]
    assert [at for at, _ in rows.rows_of_label(key, 0, 1, 9)] == [1, 3]
    assert rows.of_labels(key, [2, 0]) == [[3], [0, 1, 3]]
    assert rows.row(key, 3).all_labels == (0, 2)
    coverage = service.get(f"/v1/datasets/{id}/coverage")
    assert coverage["num_without_images"] == coverage["num_labels"] - 3
    page = service.http.get(f"/images/{id}").text
    assert "crane, heron" in page
    assert "crane, stork" in page
    assert "The images have several labels: 1 to 2, 1.50 on average." in page


def test_the_report_counts_unlabelled_images_apart(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    service.images("street", at="extra")
    id = dataset(service, vocabulary_id, unlabelled=["extra/street"])["id"]
    with service.db.read() as tx:
        key = resources.dataset(tx, id).manifest_key
    counts = service.app.state.index_rows.label_counts(key)
    assert counts == {0: 3, 1: 2, 2: 1, -1: 4}
    assert len(service.app.state.index_rows.rows_of_label(key, -1, 0, 9)) == 4


def test_losses_for_one_label_an_image_are_refused(service: Service) -> None:
    id = dataset(service, service.vocabulary())["id"]
    body = {"kind": "distill", "dataset_id": id, "teacher": TEACHER}
    for config, pointer, words in (
        (None, "/config", "the loss cls need one label an image: set losses.cls to 0; these fit: mse, im_cst"),
        ({"losses": {"cls": 1}}, "/config/losses/cls", "set losses.cls to 0"),
        (
            {"objective": {"losses": {"cls": 0, "icl": 1}}},
            "/config/objective/losses/icl",
            "(asl or bce in place of cls)",
        ),
        ({**FITTING, "sampling": "balanced"}, "/config/sampling", "sampling balanced is by label"),
        ({"protocol": "retrieval", "shots": 1}, "/config/protocol", "use zero_shot"),
    ):
        problem = service.rejection("/v1/jobs", {**body, **({"config": config} if config else {})})
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("multi_label_unfit", pointer)
        assert words in problem["detail"]
    service.post("/v1/jobs", {**body, "config": FITTING}, status=202)
    service.post("/v1/jobs", {**body, "config": {"losses": {"cls": 0}}}, status=202)


def test_a_plan_checks_the_dataset_before_it_is_stored(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    dataset(service, vocabulary_id)
    given = {"path": "scenes", "vocabulary_id": vocabulary_id, "split": SPLIT, "images": IMAGES, "name": "other"}
    job = {"kind": "distill", "dataset_id": "planned", "teacher": TEACHER}
    problem = service.rejection("/v1/plan", {"dataset": given, "jobs": [job]})
    assert problem["code"] == "multi_label_unfit"
    plan = service.post("/v1/plan", {"dataset": given, "jobs": [{**job, "config": FITTING}]}, status=200)
    assert plan["dataset"]["labels_per_image"] == 1.5


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"shots": 2}, "/shots"),
        ({"corruption_images": 10}, "/corruption_images"),
        ({"domain_dataset_ids": ["other"]}, "/domain_dataset_ids"),
        ({"far_dataset_id": "other"}, "/far_dataset_id"),
    ],
)
def test_measures_for_one_label_an_image_are_refused(service: Service, asked: dict[str, Any], pointer: str) -> None:
    vocabulary_id = service.vocabulary()
    several = dataset(service, vocabulary_id)["id"]
    single = service.dataset(vocabulary_id)
    checkpoint_id = create_checkpoint(service, single, vocabulary_id)
    names = {"other": single}
    filled = {
        name: [names[one] for one in value] if isinstance(value, list) else names.get(str(value), value)
        for name, value in asked.items()
    }
    body = {"kind": "evaluate", "checkpoint_id": checkpoint_id}
    problem = service.rejection("/v1/jobs", {**body, "dataset_id": several, **filled})
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("multi_label_unfit", pointer)
    service.post("/v1/jobs", {**body, "dataset_id": several}, status=202)
    if "other" in str(asked):  # the other way round
        names["other"] = several
        filled = {name: [several] if isinstance(value, list) else several for name, value in asked.items()}
        problem = service.rejection("/v1/jobs", {**body, "dataset_id": single, **filled})
        assert problem["code"] == "multi_label_unfit"
        assert "the images of scenes have several" in problem["detail"]


def test_attributes_are_not_proved_on_several_labels(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    body = {"kind": "prove", "dataset_id": dataset(service, vocabulary_id)["id"], "teacher": TEACHER}
    problem = service.rejection("/v1/jobs", {**body, "attribute_set_id": service.attribute_set(vocabulary_id)})
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("multi_label_unfit", "/dataset_id")
