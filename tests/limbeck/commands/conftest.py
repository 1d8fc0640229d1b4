"""A running service with an attribute set, and the output of `limbeck attributes` commands."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import create_app
from limbeck import Client
from limbeck.cli import main
from store.db import Database
from tests.api.conftest import settings_at
from tests.api.live import served

Capture = pytest.CaptureFixture[str]


KEY = "c" * 64


@pytest.fixture
def client(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of a running service; LIMBECK_URL is its URL."""
    monkeypatch.setenv("COLUMNS", "160")
    for name in ("VISUAL", "EDITOR", "LIMBECK_KEY"):
        monkeypatch.delenv(name, raising=False)
    with served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url, Client(url) as limbeck:
        monkeypatch.setenv("LIMBECK_URL", url)
        yield limbeck


@pytest.fixture
def set_id(client: Client) -> str:
    lines = [
        {"kind": "sentence", "text": "A tall [grey] bird.", "origin": "llm", "call": KEY},
        {"kind": "phrase", "text": "a long neck", "part": "neck", "origin": "llm", "call": KEY},
    ]
    entries = [
        {"label": "crane", "sense": "bird", "lines": lines},
        {"label": "crane", "sense": "machine", "lines": [{"kind": "phrase", "text": "a boom"}]},
        {"label": "heron", "flags": []},
    ]
    document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
    return client.attribute_sets.import_file(json.dumps(document)).id


def printed(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """The output of `limbeck attributes …`; with a `code`, its one line on stderr."""
    exit_code = main(["attributes", *arguments])
    output = capsys.readouterr()
    assert exit_code == code, output.err
    lines = [line for line in output.err.splitlines() if not line.startswith("{")]  # the service's log is JSON
    assert len(lines) == (1 if code else 0), output.err
    return lines[0] if code else output.out
