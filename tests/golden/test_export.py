"""Attribute sets are written, read back, imported and exported as the files in `export/` record."""

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


def test_what_is_read_back() -> None:
    assert files.plain(exports.read_back()) == GOLDEN


def test_our_own_json_is_read_back_as_it_was() -> None:
    assert exports.READERS["set.json"](exports.golden_bytes("set.json").decode()) == list(exports.ENTRIES)


def test_csv_is_read_back_with_every_line() -> None:
    """Flags are no column of the CSV: they are computed anew."""
    found = exports.READERS["set.csv"](exports.golden_bytes("set.csv").decode())
    assert [(entry.label, entry.sense, entry.lines) for entry in found] == [
        (entry.label, entry.sense, entry.lines) for entry in exports.ENTRIES
    ]


@pytest.mark.parametrize("format", exports.API_FORMATS)
def test_every_export_after_an_import_of_our_own_json(format: str, client: TestClient) -> None:
    made = exports.imported(client, "json")
    assert exports.exported(client, made["id"], format) == exports.golden_bytes(exports.API_FORMATS[format])


@pytest.mark.parametrize("format", exports.API_FORMATS)
def test_an_export_in_the_format_of_the_import(format: str, client: TestClient) -> None:
    made = exports.imported(client, format)
    assert exports.exported(client, made["id"], format) == exports.golden_bytes(exports.API_FORMATS[format])
