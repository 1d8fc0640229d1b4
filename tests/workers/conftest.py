"""What the tests of the workers share."""

from pathlib import Path

import pytest

from store.db import Database
from tests.workers.enrich_bench import Bench, make_bench


@pytest.fixture
def here(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A worker's context over each database, with the stand-in LLM."""
    return make_bench(db, tmp_path, monkeypatch)


@pytest.fixture
def here_on_sqlite(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """For what costs much and asks the database nothing new."""
    return make_bench(sqlite_db, tmp_path, monkeypatch)
