"""Attribute sets are written, parsed, imported and exported as recorded in `export/`."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from tests.golden import api, exports, files

GOLDEN = files.read("export.json")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with api.service(tmp_path_factory.mktemp("home")) as (_, client, _):
        yield client


@pytest.mark.parametrize("name", exports.WRITERS)
def test_written_bytes(name: str) -> None:
    assert exports.WRITERS[name]().encode() == exports.golden_bytes(name)


def test_files_are_parsed_as_recorded() -> None:
    assert files.plain(exports.read_back()) == GOLDEN


def test_limbeck_json_round_trip() -> None:
    assert exports.READERS["set.json"](exports.golden_bytes("set.json").decode()) == list(exports.ENTRIES)


def test_csv_round_trip_of_lines() -> None:
    """The CSV has no column for flags: they are recomputed."""
    found = exports.READERS["set.csv"](exports.golden_bytes("set.csv").decode())
    assert [(entry.label, entry.sense, entry.lines) for entry in found] == [
        (entry.label, entry.sense, entry.lines) for entry in exports.ENTRIES
    ]


@pytest.mark.parametrize("format", exports.API_FORMATS)
def test_every_export_after_an_import_of_limbeck_json(format: str, client: TestClient) -> None:
    made = exports.imported(client, "json")
    assert exports.exported(client, made["id"], format) == exports.golden_bytes(exports.API_FORMATS[format])


@pytest.mark.parametrize("format", exports.API_FORMATS)
def test_an_export_equals_the_import_in_the_same_format(format: str, client: TestClient) -> None:
    made = exports.imported(client, format)
    assert exports.exported(client, made["id"], format) == exports.golden_bytes(exports.API_FORMATS[format])
