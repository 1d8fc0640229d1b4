"""`Idempotency-Key`: a request that is repeated, also concurrently, is executed once and gets one response."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from store.models import AttributeSet, Dataset, IdempotencyRecord, Job, Vocabulary
from tests.api.conftest import Service
from tests.api.live import served

TIMES = 20


def post_concurrently(url: str, path: str, body: Any, key: str) -> list[tuple[int, str, str]]:
    """(status, body, Location) of a POST that is sent `TIMES` times at once, each over its own connection."""
    gate = threading.Barrier(TIMES)

    def send(_: int) -> tuple[int, str, str]:
        with httpx2.Client(base_url=url, timeout=60, verify=False) as client:
            client.get("/healthz")
            gate.wait(timeout=60)
            response = client.post(path, json=body, headers={"Idempotency-Key": key})
            return response.status_code, response.text, response.headers.get("location", "")

    with ThreadPoolExecutor(TIMES) as threads:
        return list(threads.map(send, range(TIMES)))


@pytest.mark.slow
def test_concurrent_posts_with_one_key_create_one_row(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    folder = service.images("crane", "heron", "stork", "ibis")
    posts: list[tuple[str, Any, int, Any]] = [
        ("/v1/vocabularies", {"name": "b", "labels": ["crane", "heron"]}, 201, Vocabulary),
        (
            "/v1/attribute-sets/import",
            {"format": "dclip", "vocabulary_id": vocabulary_id, "document": {"crane": ["a"]}},
            201,
            AttributeSet,
        ),
        ("/v1/datasets", {"path": folder, "vocabulary_id": vocabulary_id}, 201, Dataset),
        ("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, 202, Job),
    ]
    with served(service.app) as url:
        for path, body, status, model in posts:
            with service.db.read() as tx:
                before = tx.query(model).count()
            responses = post_concurrently(url, path, body, f"once{path}")
            assert len(set(responses)) == 1, responses
            assert responses[0][0] == status, responses[0]
            with service.db.read() as tx:
                assert tx.query(model).count() == before + 1, path
        job_id = responses[0][2].rpartition("/")[2]
        assert len(set(post_concurrently(url, f"/v1/jobs/{job_id}/cancel", None, "stop"))) == 1
    manifests = list((service.settings.home / "artefacts").rglob("manifest.jsonl"))
    assert len(manifests) == 1


def test_a_key_with_another_request_returns_409(service: Service) -> None:
    headers = {"Idempotency-Key": "k"}
    first = service.post("/v1/vocabularies", {"name": "a", "labels": ["x"]}, **headers)
    response = service.http.post("/v1/vocabularies", json={"name": "b", "labels": ["x"]}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_reused")
    response = service.http.post("/v1/jobs", json={"kind": "enrich", "vocabulary_id": first["id"]}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_reused")
    response = service.http.post("/v1/datasets", json={"path": "x", "vocabulary_id": first["id"]}, headers=headers)
    assert (response.status_code, response.json()["code"]) == (409, "idempotency_key_reused")
    with service.db.read() as tx:
        assert (tx.query(Vocabulary).count(), tx.query(Job).count()) == (1, 0)
    assert service.post("/v1/vocabularies", {"name": "a", "labels": ["x"]}, **headers) == first


def test_a_rejected_request_does_not_consume_the_key(service: Service) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"kind": "enrich", "vocabulary_id": "voc_none"}
    assert service.http.post("/v1/jobs", json=body, headers=headers).status_code == 422
    with service.db.read() as tx:
        assert tx.query(IdempotencyRecord).count() == 0
    service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202, **headers)


def test_keys_are_validated_and_scoped_to_the_principal(make_service: Callable[..., Service]) -> None:
    from store.access import api_keys

    service = make_service(host="0.0.0.0")
    with service.db.write() as tx:
        secrets = [api_keys.create(tx, name="k", scopes=["write"], expires_at=None)[1] for _ in range(2)]
    body = {"name": "a", "labels": ["x"]}
    ids = {
        service.post(
            "/v1/vocabularies",
            body | {"domain": f"of principal {secrets.index(secret)}"},
            Authorization=f"Bearer {secret}",
            **{"Idempotency-Key": "k"},
        )["id"]
        for secret in secrets * 2
    }
    assert len(ids) == 2
    for wrong in ("", "a b", "x" * 201, "é".encode()):
        headers = {"Authorization": f"Bearer {secrets[0]}", "Idempotency-Key": wrong}
        response = service.http.post("/v1/vocabularies", json=body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_invalid"), wrong
        assert response.json()["errors"][0]["parameter"] == "Idempotency-Key"
