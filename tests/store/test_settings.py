"""Settings that are derived from other settings."""

import pytest

from store.settings import Settings


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgres://u@h/d"])
def test_a_plain_postgres_url_selects_psycopg(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_DATABASE_URL", url)
    assert Settings().database == "postgresql+psycopg://u@h/d"
