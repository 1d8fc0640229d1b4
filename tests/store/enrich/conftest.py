"""Fixtures of the tests of `store.enrich`: enrich jobs that run in this process."""

from pathlib import Path

import pytest

from store.db import Database
from tests.workers.enrich_bench import Bench, make_bench


@pytest.fixture
def bench(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A worker's context with the stand-in LLM, on each database."""
    return make_bench(db, tmp_path, monkeypatch)
