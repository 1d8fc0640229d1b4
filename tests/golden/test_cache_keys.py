"""Every key and digest of stored data equals the one that `cache_keys.json` records."""

from typing import Any

import pytest

from tests.golden import files, keys

GOLDEN = files.read("cache_keys.json")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return files.plain(keys.record(tmp_path_factory.mktemp("keys")))


@pytest.mark.slow
def test_every_kind_of_key_is_recorded(found: Any) -> None:
    assert sorted(found) == sorted(GOLDEN)


@pytest.mark.parametrize("kind", sorted(GOLDEN))
def test_keys(kind: str, found: Any) -> None:
    assert found[kind] == GOLDEN[kind]


def test_settings_that_do_not_change_the_response_are_not_in_the_key() -> None:
    calls: dict[str, str] = GOLDEN["calls"]
    plain = [key for name, key in calls.items() if name.startswith("plain | ")]
    unshaping = [key for name, key in calls.items() if name.startswith("unshaping | ")]
    assert plain == unshaping
