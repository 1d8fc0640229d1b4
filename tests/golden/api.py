"""The interface of the HTTP API: paths, methods, status codes and error codes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.testclient import TestClient

from api.app import create_app
from store.db import Database
from store.migrate import upgrade
from store.settings import Settings
from tests.golden import sources

BASE_URL = "http://127.0.0.1:8420"
METHODS = ("delete", "get", "head", "options", "patch", "post", "put")
NOT_FOUND_KINDS = (
    "answer",
    "attribute set",
    "caption set",
    "checkpoint",
    "dataset",
    "file",
    "job",
    "key",
    "teacher",
    "text targets",
    "vocabulary",
)
"""The kinds of rows that a code `<kind>_not_found` is made from."""


def settings_below(home: Path) -> Settings:
    """Settings with an SQLite database below `home`, and nothing from the environment."""
    (home / "data").mkdir(parents=True, exist_ok=True)
    given: dict[str, Any] = {
        "home": home,
        "database_url": "",
        "redis_url": "",
        "data_root": home / "data",
        "artefacts_url": "",
        "host": "127.0.0.1",
        "llm_model": "stand-in",
        "enrich_chunk": 4,
    }
    return Settings(**given)


@contextmanager
def service(home: Path) -> Iterator[tuple[FastAPI, TestClient, Database]]:
    """A service over a fresh, migrated SQLite database below `home`; closed at the end."""
    settings = settings_below(home)
    db = Database(settings.database)
    upgrade(db)
    app = create_app(settings, db)
    with TestClient(app, base_url=BASE_URL, raise_server_exceptions=False) as client:
        yield app, client, db
    db.dispose()


def operations(app: FastAPI) -> dict[str, dict[str, Any]]:
    """Every operation of the OpenAPI document: its status codes, parameters and media types of its body."""
    found: dict[str, dict[str, Any]] = {}
    for path, item in app.openapi()["paths"].items():
        for method in METHODS:
            if method in item:
                one = item[method]
                parameters = [*item.get("parameters", ()), *one.get("parameters", ())]
                found[f"{method.upper()} {path}"] = {
                    "responses": sorted(one.get("responses", {})),
                    "parameters": sorted(
                        f"{parameter['in']} {parameter['name']}{' required' if parameter.get('required') else ''}"
                        for parameter in parameters
                    ),
                    "body": sorted(one.get("requestBody", {}).get("content", {})),
                }
    return found


def pages(client: TestClient) -> dict[str, int]:
    """The status codes of the pages that are not in the OpenAPI document."""
    paths = ("/", "/docs", "/redoc", "/openapi.json", "/metrics", "/healthz", "/readyz", "/v1", "/v1/jobs/", "/nothing")
    return {path: client.get(path, follow_redirects=False).status_code for path in paths}


def surface(home: Path) -> dict[str, Any]:
    """The content of `api.json`."""
    with service(home) as (app, client, _):
        return {
            "operations": operations(app),
            "pages": pages(client),
            "codes": sorted(sources.code_constants()),
            "not_found_kinds": list(NOT_FOUND_KINDS),
        }
