"""The contract on Postgres, Redis and real Celery workers."""

import pytest

from tests.contract.enriching import *  # noqa: F403
from tests.contract.life import *  # noqa: F403
from tests.contract.scene import *  # noqa: F403
from tests.contract.whole import *  # noqa: F403


@pytest.fixture(scope="module")
def mode() -> str:
    return "distributed"
