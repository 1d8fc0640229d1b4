"""The contract on SQLite and the embedded worker."""

import pytest

from tests.contract.life import *  # noqa: F403


@pytest.fixture(scope="module")
def mode() -> str:
    return "embedded"
