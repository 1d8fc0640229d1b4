"""Migrate a database to the newest revision (`limbeck db upgrade`; `limbeck serve` does it in embedded mode)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.db import Database

_SCRIPTS = Path(__file__).resolve().parent.parent / "migrations"


def _config(db: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["engine"] = db.writer
    return config


def upgrade(db: Database, revision: str = "head") -> None:
    """Apply the missing revisions; on Postgres one process at a time."""
    command.upgrade(_config(db), revision)


def is_current(db: Database) -> bool:
    """Whether the database is at the newest revision."""
    head = ScriptDirectory.from_config(_config(db)).get_current_head()
    with db.reader.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision() == head
