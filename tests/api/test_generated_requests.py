"""Requests that schemathesis generates from the OpenAPI document, with all of its checks, against the real app.

Seeded, so that a run is repeated exactly. Every status, content type, header and body has to be documented, an invalid
request refused and a valid one accepted. Exceptions are in `CHECKS` and `OPERATIONS`, each with its reason.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from api.app import create_app
from store.access import api_keys
from store.db import Database
from store.migrate import upgrade
from tests.api.conftest import settings_at

CHECKS = {
    # Rules that a JSON schema cannot express (ids that exist, labels that differ, files on disk) are 422, and a
    # version of a draft that is not its newest is 412.
    "positive_data_acceptance": {"expected-statuses": ["2xx", "3xx", "401", "403", "404", "409", "412", "422", "429"]},
    # If-Match is judged before the body is read.
    "negative_data_rejection": {
        "expected-statuses": ["400", "401", "403", "404", "405", "406", "409", "412", "415", "422", "428", "429"]
    },
    # RFC 6585: 428 is the answer to a missing If-Match.
    "missing_required_header": {"expected-statuses": ["400", "401", "403", "406", "415", "422", "428"]},
}
# The answer of readiness probes of a service whose workers do not run is 503.
OPERATIONS = [
    {
        "include-name": "GET /readyz",
        "checks": {
            "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503"]},
            "positive_data_acceptance": {"expected-statuses": ["2xx", "422", "503"]},
        },
    }
]


def lines_of(_context: Any, value: Any) -> bytes:
    """A body of JSON Lines."""
    return "\n".join(map(json.dumps, value if isinstance(value, list) else [value])).encode()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'limbeck.db'}")
    upgrade(database)
    yield database
    database.dispose()


def run(tmp_path: Path, database: Database, *, seed: int, max_examples: int, phases: Mapping[str, Any]) -> list[str]:
    """The failures of a run, one text each. Imports schemathesis late: all workers of pytest import this module."""
    import schemathesis
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import events, from_schema

    schemathesis.serializer("application/x-ndjson")(lines_of)
    with database.write() as tx:
        _, key = api_keys.create(tx, name="tester", scopes=["read", "write", "admin"], expires_at=None)
    app = create_app(settings_at(tmp_path), database)
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "headers": {"Authorization": f"Bearer {key}"},
            "generation": {"max-examples": max_examples},
            "phases": {"stateful": {"enabled": False}, **phases},
            "checks": CHECKS,
            "operations": OPERATIONS,
        }
    )
    schema = schemathesis.openapi.from_dict(app.openapi(), config=config)
    schema.app = _on_loopback(app)
    schema.location = "/openapi.json"
    failures: dict[tuple[str, str, str], str] = {}
    num_requests = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.FatalError | events.NonFatalError):
            failures["engine", str(event), ""] = str(getattr(event, "value", event))
        if not isinstance(event, events.ScenarioFinished):
            continue
        num_requests += len(event.recorder.interactions)
        for case_id, checks in event.recorder.checks.items():
            for check in checks:
                if check.failure_info is None:
                    continue
                failure = check.failure_info.failure
                curl = event.recorder.cases[case_id].value.as_curl_command()
                key_of_failure = (event.recorder.label or "", check.name, failure.title)
                failures.setdefault(key_of_failure, f"{failure.message}\n{curl[:1_000]}")
    assert num_requests > 1_000
    return ["\n".join((*names, text)) for names, text in failures.items()]


def _on_loopback(app: FastAPI) -> Any:
    """The app, called by a client on this machine, as an address of the service."""

    async def call(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope = {**scope, "client": ("127.0.0.1", 50_000), "headers": [*headers, (b"host", b"127.0.0.1:8420")]}
        await app(scope, receive, send)

    return call


@pytest.mark.slow
def test_every_operation_does_what_its_document_says(tmp_path: Path, database: Database) -> None:
    failures = run(tmp_path, database, seed=1, max_examples=1, phases={})
    assert not failures, "\n\n".join(failures)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [2, 3])
def test_more_generated_requests(tmp_path: Path, database: Database, seed: int) -> None:
    failures = run(tmp_path, database, seed=seed, max_examples=100, phases={"stateful": {"enabled": True}})
    assert not failures, "\n\n".join(failures)
