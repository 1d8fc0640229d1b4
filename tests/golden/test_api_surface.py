"""The HTTP API has the operations, status codes and error codes that `api.json` records."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.golden import api, files, sources

GOLDEN = files.read("api.json")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, TestClient]]:
    with api.service(tmp_path_factory.mktemp("home")) as (app, client, _):
        yield app, client


def test_operations(service: tuple[FastAPI, TestClient]) -> None:
    found = files.plain(api.operations(service[0]))
    assert sorted(found) == sorted(GOLDEN["operations"])
    assert found == GOLDEN["operations"]


def test_pages_outside_the_openapi_document(service: tuple[FastAPI, TestClient]) -> None:
    assert api.pages(service[1]) == GOLDEN["pages"]


@pytest.mark.slow
def test_every_code_is_still_a_constant_of_the_sources() -> None:
    missing = sorted(set(GOLDEN["codes"]) - sources.every_constant())
    assert missing == []


@pytest.mark.slow
def test_codes_of_missing_rows() -> None:
    constants = sources.every_constant()
    assert "_not_found" in sources.not_found_suffixes()
    assert [kind for kind in GOLDEN["not_found_kinds"] if kind not in constants] == []


def test_the_search_covers_only_the_sources() -> None:
    """Codes in tests are ignored."""
    folders = {file.relative_to(files.ROOT).parts[0] for file in sources.source_files()}
    assert not folders & sources.NO_SOURCES
    assert len(folders) >= 1
