"""Fixtures of the enrichment tests: a bench whose LLM has prices."""

from pathlib import Path

import pytest

from store.db import Database
from tests.workers.billing import MakeBillingBench, billing_bench_factory


@pytest.fixture
def make_billing(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeBillingBench:
    """Makes a bench with a `BillingLLM`, on each database."""
    return billing_bench_factory(db, tmp_path, monkeypatch)


@pytest.fixture
def make_billing_on_sqlite(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeBillingBench:
    """The same on SQLite only, for tests without new queries."""
    return billing_bench_factory(sqlite_db, tmp_path, monkeypatch)
