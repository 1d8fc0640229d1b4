"""The contract tests on Postgres, Redis and real Celery workers."""

import pytest

from tests.contract.end_to_end import *  # noqa: F403
from tests.contract.enrichment import *  # noqa: F403
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.job_lifecycle import *  # noqa: F403
from tests.contract.ranks import *  # noqa: F403


@pytest.fixture(scope="module")
def mode() -> str:
    return "distributed"
