"""A service over each of the two databases in turn, asked as a program on the same machine would ask it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import lifecycle
from store.jobs.lifecycle import Claim
from store.settings import Settings

BASE = "http://127.0.0.1:8420"


def settings_at(home: Path, **changes: Any) -> Settings:
    """Settings below a folder of the test's own, and nothing of the environment's."""
    (home / "data").mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = {
        "home": home,
        "database_url": "",
        "redis_url": "",
        "data_root": home / "data",
        "artefacts_url": "",
        "host": "127.0.0.1",
        "llm_model": "stand-in",
        "enrich_chunk": 4,
    }
    return Settings(**{**known, **changes})


@dataclass
class Service:
    """A service under test, and what lies behind it."""

    app: FastAPI
    http: TestClient
    db: Database
    settings: Settings

    @property
    def artefacts(self) -> Artefacts:
        return Artefacts(self.settings.artefacts)

    @property
    def data(self) -> Path:
        return self.settings.data

    def post(self, path: str, body: Any, *, status: int = 201, **headers: str) -> dict[str, Any]:
        answer = self.http.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        answer = self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def refusal(self, path: str, body: Any, *, status: int = 422) -> dict[str, Any]:
        """The problem that a POST is answered with."""
        answer = self.http.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = answer.json()
        return problem

    def vocabulary(self, *labels: str) -> str:
        body = {"name": "birds", "domain": "birds", "labels": list(labels or ("crane", "heron", "stork", "ibis"))}
        id: str = self.post("/v1/vocabularies", body)["id"]
        return id

    def attribute_set(self, vocabulary_id: str) -> str:
        names = [one["name"] for one in self.get(f"/v1/vocabularies/{vocabulary_id}/labels", limit=1000)["data"]]
        document = {name: [f"a {name} head", f"a {name} tail"] for name in names}
        body = {"format": "dclip", "vocabulary_id": vocabulary_id, "document": document}
        id: str = self.post("/v1/attribute-sets/import", body)["id"]
        return id

    def images(self, *folders: str, at: str = "images", count: int = 4) -> str:
        for folder in folders:
            (self.data / at / folder).mkdir(parents=True)
            for number in range(count):
                (self.data / at / folder / f"{number}.jpg").write_bytes(b"not opened here")
        return at

    def dataset(self, vocabulary_id: str) -> str:
        path = self.images("crane", "heron", "stork", "ibis")
        id: str = self.post("/v1/datasets", {"path": path, "vocabulary_id": vocabulary_id})["id"]
        return id

    def claim(self, job_id: str) -> Claim:
        """Take the job's first queued part, as a worker would."""
        with self.db.write() as tx:
            for part_id in lifecycle.ready(tx, ["enrich", "gpu"], limit=100):
                claim = lifecycle.claim(tx, part_id, worker="test", lease_s=60)
                if claim and claim.job_id == job_id:
                    return claim
        raise AssertionError(f"nothing to claim of {job_id}")


@pytest.fixture
def make_service(db: Database, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make a service with changed settings; its clients are closed at the end."""
    opened: list[TestClient] = []

    def make(base: str = BASE, **changes: Any) -> Service:
        settings = settings_at(tmp_path / "home", **changes)
        app = create_app(settings, db)
        client = TestClient(app, base_url=base, raise_server_exceptions=False)
        client.__enter__()
        opened.append(client)
        return Service(app, client, db, settings)

    yield make
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture
def service(make_service: Callable[..., Service]) -> Service:
    """A service bound to loopback."""
    return make_service()
