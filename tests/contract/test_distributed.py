"""The contract on Postgres, Redis and real Celery workers."""

import pytest

from tests.contract.life import *  # noqa: F403


@pytest.fixture(scope="module")
def mode() -> str:
    return "distributed"
