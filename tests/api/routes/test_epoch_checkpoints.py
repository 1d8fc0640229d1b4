"""Checkpoints of a running training: the list, the files as those of a delivered student, the page and the refusals."""

import hashlib

from store.artefacts import StoredArtefact
from store.lifecycle import epoch_checkpoints
from tests.api.conftest import Service

WEIGHTS = bytes(range(256)) * 40
TEACHER = "ViT-B-32:openai"
PATHS = ["image/model.safetensors", "targets/a b#ü.json"]


def start(service: Service, **fields: object) -> str:
    """A distill job that runs; its id."""
    body = {"kind": "distill", "dataset_id": service.dataset(service.vocabulary()), "teacher": TEACHER, **fields}
    id: str = service.post("/v1/jobs", body, status=202)["id"]
    return id


def save(service: Service, job_id: str, *epochs: int) -> None:
    claim = service.claim(job_id)
    for epoch in epochs:
        files: list[tuple[str, StoredArtefact]] = [
            (path, service.artefacts.put_bytes(WEIGHTS + b"%d" % epoch, f"{claim.place}/epochs/{epoch}/{path}"))
            for path in PATHS
        ]
        metrics = {"accuracy": 0.625, "top5": 1.0, "chance": 0.25, "num_images": 8, "num_labels": 4}
        with service.db.write() as tx:
            epoch_checkpoints.add(
                tx,
                claim,
                epoch=epoch,
                step=epoch * 3,
                metrics=metrics if epoch > 2 else None,
                files=files,
                keep=3,
                message=f"checkpoint of epoch {epoch}",
            )


def test_checkpoints_are_listed_and_downloaded_while_the_job_runs(service: Service) -> None:
    id = start(service, save_checkpoints={"every_epochs": 2, "keep": 3})
    path = f"/v1/jobs/{id}/checkpoints"
    assert service.get(f"/v1/jobs/{id}")["spec"]["save_checkpoints"] == {"every_epochs": 2, "keep": 3}
    assert service.get(path)["data"] == []
    assert "Students of this training" not in service.http.get(f"/jobs/{id}").text
    save(service, id, 2, 4, 6)
    listed = service.get(path)
    assert [(one["epoch"], one["step"]) for one in listed["data"]] == [(2, 6), (4, 12), (6, 18)]
    first, second, _ = listed["data"]
    assert first["metrics"] is None
    figures = {"accuracy": 0.625, "top5": 1.0, "chance": 0.25, "num_images": 8, "num_labels": 4}
    assert second["metrics"] == {**figures, "mean_ap": None}
    assert service.get(f"{path}/4") == second
    page = service.get(path, limit=1, after=2)
    assert (page["data"], page["has_more"], page["last_id"]) == ([second], True, "4")

    assert [file["path"] for file in second["files"]] == PATHS
    for file in second["files"]:
        got = service.http.get(file["url"])
        assert got.content == WEIGHTS + b"4"
        assert hashlib.sha256(got.content).hexdigest() == file["sha256"]
        assert got.headers["etag"] == f'"{file["sha256"]}"'
    weights = second["files"][0]["url"]
    part = service.http.get(weights, headers={"Range": "bytes=10-13"})
    assert (part.status_code, part.content) == (206, WEIGHTS[10:14])
    assert service.http.get(weights, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
    assert service.http.head(weights).headers["content-length"] == str(len(WEIGHTS) + 1)

    for shown in (service.http.get(f"/jobs/{id}").text, service.http.get(f"/jobs/{id}/progress").text):
        assert shown.index(f"{path}/6/files/") < shown.index(f"{path}/4/files/")  # the newest first
        assert "62.5%" in shown
        assert f"limbeck download {id} --epoch 6 --out student" in shown


def test_what_does_not_exist_is_named(service: Service) -> None:
    id = start(service)
    save(service, id, 4)
    for path, code in (
        (f"{id}/checkpoints/3", "checkpoint_not_found"),
        (f"{id}/checkpoints/3/files/image/model.safetensors", "file_not_found"),
        (f"{id}/checkpoints/4/files/image/../image/nope", "file_not_found"),
        (f"{id}/checkpoints/4/files/%2e%2e/%2e%2e/secret", "file_not_found"),
        ("job_none/checkpoints", "job_not_found"),
        ("job_none/checkpoints/4", "checkpoint_not_found"),
    ):
        response = service.http.get(f"/v1/jobs/{path}")
        assert (response.status_code, response.json()["code"]) == (404, code), path
    assert service.http.get(f"/v1/jobs/{id}/checkpoints/0").status_code == 422
    assert "save_checkpoints" not in service.get(f"/v1/jobs/{id}")["spec"]


def test_checkpoints_that_a_training_would_never_have_are_refused(service: Service) -> None:
    body = {"kind": "distill", "dataset_id": service.dataset(service.vocabulary()), "teacher": TEACHER}
    for wanted, config, pointer in (
        ({"every_epochs": 11}, {"epochs": 10}, "/save_checkpoints/every_epochs"),
        ({"every_epochs": 0}, {}, "/save_checkpoints/every_epochs"),
        ({"every_epochs": 1.5}, {}, "/save_checkpoints/every_epochs"),
        ({"every_epochs": 1, "keep": 0}, {}, "/save_checkpoints/keep"),
        ({"every_epochs": 1, "keep": 101}, {}, "/save_checkpoints/keep"),
        ({"keep": 3}, {}, "/save_checkpoints/every_epochs"),
        ({"every_epochs": 1, "every_steps": 10}, {}, "/save_checkpoints/every_steps"),
        ({"every_epochs": 1}, {"protocol": "closed_set"}, "/save_checkpoints"),
    ):
        problem = service.rejection("/v1/jobs", {**body, "save_checkpoints": wanted, "config": config})
        assert [error["pointer"] for error in problem["errors"]] == [pointer], (wanted, problem)
    last = service.post(
        "/v1/jobs", {**body, "save_checkpoints": {"every_epochs": 10}, "config": {"epochs": 10}}, status=202
    )
    assert last["spec"]["save_checkpoints"] == {"every_epochs": 10, "keep": 5}
