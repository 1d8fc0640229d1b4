"""The record of writes: one per executed write, in its transaction; refusals; filters."""

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy.exc import OperationalError

from api.app import _ROUTERS
from api.http.dependencies import _idempotency
from store.access import audit
from tests.api.conftest import Service, bearer, create_key

BODY = {"name": "b", "labels": ["crane"]}
STORE_NOTHING = {
    "/v1/jobs/estimate",
    "/v1/plan",
    "/v1/token-counts",
    "/v1/checkpoints/{id}/classify",
    "/api/models/limbeck/{name}/paths-info/{revision:path}",
}
SESSIONS_OF_BROWSERS = {"/sign-in", "/session"}


def _records(service: Service, **params: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = service.get("/v1/audit", **params)["data"]
    return found


def test_a_write_is_recorded_once(service: Service) -> None:
    secret = create_key(service, "read", "write", name="ann")
    headers = bearer(secret) | {"Idempotency-Key": "k", "X-Request-Id": "r1"}
    created = service.http.post("/v1/vocabularies", json=BODY, headers=headers).json()
    for _ in range(2):
        assert service.http.post("/v1/vocabularies", json=BODY, headers=headers).status_code == 201
    assert service.http.post("/v1/vocabularies", json={}, headers=headers).status_code == 422
    assert service.http.post("/v1/vocabularies?dry_run=true", json=BODY, headers=bearer(secret)).status_code == 200
    (record,) = _records(service)
    fields = ("owner", "method", "route", "resource_id", "status", "request_id", "client")
    expected = ("ann", "POST", "/v1/vocabularies", created["id"], 201, "r1", "testclient")
    assert tuple(record[name] for name in fields) == expected


def test_a_write_that_cannot_be_recorded_is_not_executed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("insert", {}, Exception("disk full"))

    monkeypatch.setattr(audit, "record", fail)
    assert service.http.post("/v1/vocabularies", json=BODY).status_code == 503
    monkeypatch.undo()
    assert service.get("/v1/vocabularies")["data"] == _records(service) == []


def test_refused_writes_are_recorded_with_their_owner(service: Service) -> None:
    secret = create_key(service, "read", name="ben")
    assert service.http.post("/v1/vocabularies", json=BODY, headers=bearer(secret)).status_code == 403
    job_id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    other = bearer(create_key(service, "write", name="ben"))
    assert service.http.post(f"/v1/jobs/{job_id}/cancel", headers=other).status_code == 403
    assert service.http.get("/v1/jobs", headers=other).status_code == 403
    found = [(row["route"], row["resource_id"], row["status"]) for row in _records(service, owner="ben")]
    assert found == [("/v1/jobs/{id}/cancel", job_id, 403), ("/v1/vocabularies", None, 403)]


def test_records_are_filtered_and_paged(service: Service) -> None:
    ids = [service.vocabulary(label) for label in ("crane", "heron", "stork")]
    first, rest = _records(service, limit=1), _records(service)
    assert [row["resource_id"] for row in rest] == ids[::-1]
    assert _records(service, after=first[0]["id"], limit=100) == rest[1:]
    assert _records(service, resource_id=ids[0]) == rest[2:]
    assert _records(service, since=rest[1]["at"]) in (rest[:2], rest)  # several in one millisecond are possible
    assert _records(service, since="2100-01-01T00:00:00Z") == _records(service, owner="ann") == []
    assert service.http.get("/v1/audit?since=yesterday").status_code == 422


def test_every_route_that_changes_something_is_recorded() -> None:
    """Routes write with the object `Idempotency`, which records them."""

    def uses(dependant: Dependant) -> bool:
        return dependant.call is _idempotency or any(uses(one) for one in dependant.dependencies)

    exempt = STORE_NOTHING | SESSIONS_OF_BROWSERS
    routes = [route for module in _ROUTERS for route in module.router.routes if isinstance(route, APIRoute)]
    changing = [route for route in routes if not route.methods <= {"GET", "HEAD"} and route.path not in exempt]
    assert len(changing) > 10
    assert [route.path for route in changing if not uses(route.dependant)] == []
