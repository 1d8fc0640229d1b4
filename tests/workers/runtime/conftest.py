"""Fixtures of the tests of `workers.runtime`."""

from pathlib import Path

import pytest

from store.db import Database
from tests.workers.runtime.part_helpers import make_context
from workers.runtime.context import Context


@pytest.fixture
def context(db: Database, tmp_path: Path) -> Context:
    """The context of a worker process, on each database."""
    return make_context(db, tmp_path)
