"""DELETE of every kind of resource: statuses, named users, files, repetition, and races with requests that use it."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from sqlalchemy import select

from store.models import Job
from tests.api.conftest import Service, bearer, create_key
from tests.api.published import CONTENT, FILE

_numbers = count()


def test_a_checkpoint_is_deleted_with_its_files(published: Service) -> None:
    text_targets = published.get("/v1/text-targets")["data"][0]["id"]
    assert published.http.get(FILE).content == CONTENT
    assert published.http.delete("/v1/checkpoints/ckp_1").status_code == 204
    assert published.http.get(FILE).status_code == 404
    assert published.get("/v1/checkpoints")["data"] == []
    assert [file.key for file in published.artefacts.list_below("parts")] == ["parts/p/t/text_targets.safetensors"]
    assert published.http.get(f"/v1/text-targets/{text_targets}/file").status_code == 200
    assert published.http.delete(f"/v1/text-targets/{text_targets}").status_code == 204
    assert not list(published.artefacts.list_below("parts"))


def test_what_uses_a_resource_is_named_and_deleted_with_force(published: Service) -> None:
    response = published.http.delete("/v1/vocabularies/voc_1")
    problem = response.json()
    assert (response.status_code, problem["code"]) == (409, "in_use")
    assert {error["kind"] for error in problem["errors"]} == {"attribute_set", "dataset", "text_targets", "checkpoint"}
    assert all(error["id"] in error["detail"] and error["pointer"] == "" for error in problem["errors"])
    response = published.http.delete("/v1/vocabularies/voc_1", params={"force": True})
    assert response.status_code == 200
    body = response.json()
    assert body["counts"] == {"vocabulary": 1, "attribute_set": 1, "dataset": 1, "text_targets": 1, "checkpoint": 1}
    assert body["deleted"][0] == {"kind": "vocabulary", "id": "voc_1"}
    for kind in ("vocabularies", "attribute-sets", "datasets", "text-targets", "checkpoints"):
        assert published.get(f"/v1/{kind}")["data"] == []
    assert published.get("/v1/jobs/job_1")["status"] == "succeeded"
    assert published.http.delete("/v1/jobs/job_1").status_code == 204


@pytest.mark.parametrize(
    "kind", ["vocabularies", "attribute-sets", "datasets", "jobs", "text-targets", "caption-sets", "checkpoints"]
)
def test_what_does_not_exist_is_not_found(service: Service, kind: str) -> None:
    response = service.http.delete(f"/v1/{kind}/x_1", params={"force": True})
    assert response.status_code == 404
    assert response.json()["code"].endswith("_not_found")


def test_a_running_job_and_its_inputs_are_kept(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    body = {"kind": "encode", "vocabulary_id": vocabulary_id, "teacher": "local-dir:teacher"}
    (service.data / "teacher").mkdir()
    job_id = service.post("/v1/jobs", body, status=202)["id"]
    for path in (f"/v1/vocabularies/{vocabulary_id}", f"/v1/jobs/{job_id}"):
        for force in (False, True):
            response = service.http.delete(path, params={"force": force})
            assert (response.status_code, response.json()["code"]) == (409, "job_running")
            assert response.json()["errors"][0]["id"] == job_id
    service.post(f"/v1/jobs/{job_id}/cancel", None, status=202)
    assert service.http.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert service.http.get(f"/v1/jobs/{job_id}/events").status_code == 404
    assert service.http.delete(f"/v1/vocabularies/{vocabulary_id}").status_code == 204
    assert service.http.get(f"/v1/vocabularies/{vocabulary_id}/labels").status_code == 404


def test_a_repeated_request_gets_the_first_response(service: Service) -> None:
    path, headers = f"/v1/vocabularies/{service.vocabulary()}", {"Idempotency-Key": "k"}
    assert [service.http.delete(path, headers=headers).status_code for _ in range(2)] == [204, 204]
    assert service.http.delete(path).status_code == 404


def test_an_equal_vocabulary_can_be_created_again(service: Service) -> None:
    first = service.vocabulary("crane", "heron")
    service.http.delete(f"/v1/vocabularies/{first}")
    second = service.vocabulary("crane", "heron")
    assert second != first
    assert [label["name"] for label in service.get(f"/v1/vocabularies/{second}/labels")["data"]] == ["crane", "heron"]


def test_a_deletion_and_a_request_that_uses_the_resource_never_leave_a_dangling_row(service: Service) -> None:
    """Jobs, sets, datasets and equal vocabularies are posted while their vocabulary is deleted."""
    (service.data / "teacher").mkdir()
    at = service.images("crane", "heron", "stork", "ibis")
    with ThreadPoolExecutor(6) as pool:
        for _ in range(4):
            labels = ["crane", "heron", "stork", "ibis", f"bird {next(_numbers)}"]
            vocabulary_id = service.vocabulary(*labels)
            job = {"kind": "encode", "vocabulary_id": vocabulary_id, "teacher": "local-dir:teacher"}
            imported = {"format": "dclip", "vocabulary_id": vocabulary_id, "document": {"crane": ["a head"]}}
            posts = [
                ("/v1/jobs", job),
                ("/v1/attribute-sets/import", {**imported, "partial": True}),
                ("/v1/datasets", {"path": at, "vocabulary_id": vocabulary_id, "check": "names"}),
                ("/v1/vocabularies", {"name": "v", "domain": "birds", "labels": labels}),
            ]
            answers = [pool.submit(service.http.post, path, json=body) for path, body in posts]
            deletion = pool.submit(service.http.delete, f"/v1/vocabularies/{vocabulary_id}", params={"force": True})
            statuses = [answer.result().status_code for answer in answers]
            assert set(statuses) <= {200, 201, 202, 404, 409, 422}, [answer.result().text for answer in answers]
            assert deletion.result().status_code in (200, 409), deletion.result().text
            exists = service.http.get(f"/v1/vocabularies/{vocabulary_id}").status_code == 200
            with service.db.read() as tx:
                queued = [row for row in tx.scalars(select(Job)) if row.spec["vocabulary_id"] == vocabulary_id]
            for kind in ("attribute-sets", "datasets"):
                rows = service.get(f"/v1/{kind}", vocabulary_id=vocabulary_id, limit=100)["data"]
                assert exists or not rows
            assert exists or not queued
            for row in queued:
                service.post(f"/v1/jobs/{row.id}/cancel", None, status=202)


def test_only_the_owner_and_an_admin_delete_a_resource_and_what_refers_to_it(public: Service) -> None:
    mine, theirs = (bearer(create_key(public, "read", "write", name=name)) for name in ("mine", "theirs"))
    admin = bearer(create_key(public, "read", "write", "admin", name="root"))
    body = {"name": "v", "domain": "", "labels": ["crane"]}
    vocabulary = public.post("/v1/vocabularies", body, **mine)["id"]
    imported = {"format": "dclip", "vocabulary_id": vocabulary, "document": {"crane": ["a head"]}}
    public.post("/v1/attribute-sets/import", imported, **theirs)
    path = f"/v1/vocabularies/{vocabulary}"
    for headers, force, status in ((theirs, False, 403), (mine, False, 409), (mine, True, 403), (admin, True, 200)):
        response = public.http.delete(path, params={"force": force}, headers=headers)
        assert response.status_code == status, response.text
