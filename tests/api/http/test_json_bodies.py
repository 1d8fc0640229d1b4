"""A large JSON body is validated in a process, with the responses that a small one gets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.params import Form
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.testclient import TestClient

from api.app import create_app
from api.http import limited_process
from api.http.json_bodies import LargeJSONRoute
from store.db import Database
from tests.api.conftest import BASE, settings_at

JSON = "application/json"
BODIES = [
    (b'{"vocabulary": {"name": "birds", "labels": ["crane", {"name": "heron", "sense": "grey"}]}}', JSON, 200),
    (b'{"vocabulary": {"name": "birds", "labels": [1, 2]}}', JSON, 422),
    (b'{"vocabulary": {"name": "birds", "labels": ["a\\ud800"]}}', JSON, 422),
    (b'{"jobs": [{"kind": "enrich", "vocabulary_id": "planned", "strategis": []}]}', JSON, 422),
    (b'{"jobs": [{"kind": "nothing"}], "more": 1}', JSON, 422),
    (b'{"vocabulary": {"name": "birds",', JSON, 400),
    (b'{"vocabulary": "\xff"}', JSON, 400),
    (b"name,sense\ncrane,\n", "text/csv", 415),
]


@pytest.fixture
def http(sqlite_db: Database, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(settings_at(tmp_path), sqlite_db), base_url=BASE) as client:
        yield client


@pytest.mark.parametrize(("body", "media_type", "status"), BODIES)
def test_a_large_body_gets_the_response_of_a_small_one(
    http: TestClient, monkeypatch: pytest.MonkeyPatch, body: bytes, media_type: str, status: int
) -> None:
    def post() -> tuple[int, Any]:
        response = http.post("/v1/plan", content=body, headers={"Content-Type": media_type})
        return response.status_code, {key: value for key, value in response.json().items() if key != "request_id"}

    small = post()
    sizes: list[int] = []
    run: Callable[..., Any] = limited_process.run

    def counted(*args: Any, num_bytes: int) -> Any:
        sizes.append(num_bytes)
        return run(*args, num_bytes=num_bytes)

    monkeypatch.setattr(limited_process, "LARGE_BYTES", 8)
    monkeypatch.setattr(limited_process, "run", counted)
    large = post()
    assert small[0] == status
    assert large == small
    assert sizes == ([] if status == 415 else [len(body)])


def test_every_route_with_a_json_body_validates_large_ones_in_a_process(sqlite_db: Database, tmp_path: Path) -> None:
    app = create_app(settings_at(tmp_path), sqlite_db)
    routes = [one.route for one in iter_route_contexts(app.routes)]
    json_routes = [
        route
        for route in routes
        if isinstance(route, APIRoute) and route.body_field and not isinstance(route.body_field.field_info, Form)
    ]
    assert len(json_routes) >= 6
    assert {route.path for route in json_routes if not isinstance(route, LargeJSONRoute)} == set()
