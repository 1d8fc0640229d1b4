"""The models and the newest revision say the same, on both databases; and every revision can be taken back."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from store.db import Database
from store.migrate import _config, is_current, upgrade
from store.models import Base


def test_models_agree_with_the_head_revision(db: Database) -> None:
    with db.reader.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_is_current_tells_an_old_database(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'x.db'}")
    assert not is_current(db)
    upgrade(db)
    assert is_current(db)
    db.dispose()


def test_down_and_up_again(sqlite_db: Database) -> None:
    command.downgrade(_config(sqlite_db), "base")
    assert inspect(sqlite_db.reader).get_table_names() == ["alembic_version"]
    upgrade(sqlite_db)
    assert is_current(sqlite_db)


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgres://u@h/d"])
def test_a_plain_postgres_url_means_psycopg(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from store.settings import Settings

    monkeypatch.setenv("LIMBECK_DATABASE_URL", url)
    assert Settings().database == "postgresql+psycopg://u@h/d"
