"""Fixtures of the worker tests."""

from pathlib import Path

import pytest

from store.db import Database
from tests.workers.enrich_bench import Bench, make_bench


@pytest.fixture
def bench(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A worker's context with the stand-in LLM, on each database."""
    return make_bench(db, tmp_path, monkeypatch)


@pytest.fixture
def bench_on_sqlite(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The same on SQLite only, for slow tests without new queries."""
    return make_bench(sqlite_db, tmp_path, monkeypatch)
