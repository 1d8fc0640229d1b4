"""A service over SQLite and over Postgres, with a client on loopback; attribute sets and published files for tests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from store.access import api_keys
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims
from store.jobs.claims import Claim
from store.settings import Settings
from tests.api.drafting import IMPORT, NECK, NUM_LABELS, ORIGINS, TALL, WINGS
from tests.api.published import publish
from tests.images import tiny_image

BASE = "http://127.0.0.1:8420"


def settings_at(home: Path, **changes: Any) -> Settings:
    """Settings whose files are below `home`, independent of the environment."""
    (home / "data").mkdir(parents=True, exist_ok=True)
    etag: dict[str, Any] = {
        "home": home,
        "database_url": "",
        "redis_url": "",
        "data_root": home / "data",
        "artefacts_url": "",
        "host": "127.0.0.1",
        "llm_model": "stand-in",
        "enrich_chunk": 4,
    }
    return Settings(**{**etag, **changes})


@dataclass
class Service:
    """A service under test with its client, database and settings. The methods assert the status of the response."""

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
        response = self.http.post(path, json=body, headers=headers)
        created: dict[str, Any] = response.json()
        is_reused = response.status_code == 200 and created.get("reused")
        assert is_reused or response.status_code == status, response.text
        return created

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        response = self.http.get(path, params=params)
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    def rejection(self, path: str, body: Any, *, status: int = 422) -> dict[str, Any]:
        """The problem with which a POST is rejected."""
        response = self.http.post(path, json=body)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = response.json()
        return problem

    def vocabulary(self, *labels: str) -> str:
        body = {"name": "birds", "domain": "birds", "labels": list(labels or ("crane", "heron", "stork", "ibis"))}
        id: str = self.post("/v1/vocabularies", body)["id"]
        return id

    def attribute_set(self, vocabulary_id: str) -> str:
        names = [item["name"] for item in self.get(f"/v1/vocabularies/{vocabulary_id}/labels", limit=1000)["data"]]
        document = {name: [f"a {name} head", f"a {name} tail"] for name in names}
        body = {"format": "dclip", "vocabulary_id": vocabulary_id, "document": document}
        id: str = self.post("/v1/attribute-sets/import", body)["id"]
        return id

    def images(self, *folders: str, at: str = "images", count: int = 4) -> str:
        for folder in folders:
            (self.data / at / folder).mkdir(parents=True)
            for number in range(count):
                path = self.data / at / folder / f"{number}.jpg"
                path.write_bytes(tiny_image(str(path)))
        return at

    def dataset(self, vocabulary_id: str) -> str:
        path = self.images("crane", "heron", "stork", "ibis")
        id: str = self.post("/v1/datasets", {"path": path, "vocabulary_id": vocabulary_id})["id"]
        return id

    def claim(self, job_id: str) -> Claim:
        """Take the job's first queued part, as a worker does."""
        with self.db.write() as tx:
            for part_id in claims.ready(tx, ["enrich", "gpu"], limit=100):
                claim = claims.claim(tx, part_id, worker="test", lease_s=60)
                if claim and claim.job_id == job_id:
                    return claim
        raise AssertionError(f"nothing to claim of {job_id}")


def create_key(service: Service, *scopes: str, name: str = "k", expires_at: float | None = None) -> str:
    """The secret of a new key."""
    with service.db.write() as tx:
        return api_keys.create(tx, name=name, scopes=scopes, expires_at=expires_at)[1]


def bearer(secret: str) -> dict[str, str]:
    """The headers that authenticate with this key."""
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def make_service(db: Database, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Create services with changed settings; their clients are closed at the end."""
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


@pytest.fixture
def public(make_service: Callable[..., Service]) -> Service:
    """A service bound to every address, which needs keys."""
    return make_service(host="0.0.0.0")


@pytest.fixture
def published(make_service: Callable[..., Service], db: Database) -> Iterator[Service]:
    """A service with published files: with SQLite in a local folder, with Postgres in a store without local paths."""
    service = make_service(artefacts_url="" if db.is_sqlite else "memory://limbeck")
    publish(service.db, service.artefacts)
    yield service
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def set_id(service: Service) -> str:
    """A set of 4 labels: crane (bird) with 3 lines from an LLM, crane (machine), heron without lines, ibis."""
    entries = [
        {"label": "crane", "sense": "bird", "lines": [TALL, NECK, WINGS]},
        {"label": "crane", "sense": "machine", "lines": [{"kind": "phrase", "text": "a boom"}]},
        {"label": "heron"},
        {"label": "ibis", "lines": [{"kind": "phrase", "text": "a bent bill"}], "flags": ["too_few_phrases"]},
    ]
    document = {"format": "limbeck.attributes", "version": 2, "strategy": "describe@1", "entries": entries}
    id: str = service.post(IMPORT, {"format": "json", "document": document})["id"]
    return id


@pytest.fixture
def large_set_id(service: Service) -> str:
    """Over 3 stored pages: every 10th label has a sense, every 7th a flag, every 9th a lock, every 50th no lines."""
    entries: list[dict[str, Any]] = []
    for n in range(NUM_LABELS):
        line = {"kind": "phrase", "text": f"mark {n}", "origin": ORIGINS[n % 3], "locked": n % 9 == 0}
        entries.append(
            {
                "label": f"Bird {n}",
                "sense": "Übergröße" if n % 10 == 0 else None,
                "lines": [] if n % 50 == 0 else [line],
                "flags": ["too_few_phrases"] if n % 7 == 0 and n % 50 else [],
            }
        )
    document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
    id: str = service.post(IMPORT, {"format": "json", "document": document})["id"]
    return id
