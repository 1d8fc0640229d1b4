"""Migrate a database to the newest revision (`limbeck db upgrade`; `limbeck serve` does it in embedded mode)."""

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from store.db import Database, database_errors
from store.errors import DatabaseUnusable

_SCRIPTS = Path(__file__).resolve().parent.parent / "migrations"


@dataclass(frozen=True)
class Revision:
    """The revision of a database, None if it has no tables; `newest` is that of this version of Limbeck."""

    current: str | None
    newest: str
    is_known: bool

    @property
    def fault(self) -> str:
        """Why this version cannot use the database, and what to do, in one line; "" if it can."""
        if self.current == self.newest:
            return ""
        if self.current is None:
            return "the database has no tables of Limbeck yet: run limbeck db upgrade"
        if self.is_known:
            return f"the database is at revision {self.current}, not at {self.newest}: run limbeck db upgrade"
        return (
            f"the database is at revision {self.current}, which this version (newest: {self.newest}) does not know: a "
            "newer version of Limbeck has upgraded it; update this installation"
        )


def _config(db: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["engine"] = db.writer
    return config


def upgrade(db: Database, revision: str = "head") -> None:
    """Apply the missing revisions; on Postgres one process at a time. Raises DatabaseUnusable for an unknown one."""
    found = revision_of(db)
    if not found.is_known:
        raise DatabaseUnusable(found.fault)
    command.upgrade(_config(db), revision)


def revision_of(db: Database) -> Revision:
    """The revision of a database."""
    scripts = ScriptDirectory.from_config(_config(db))
    with db.reader.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    return Revision(current, scripts.get_current_head() or "", current is None or current in known)


def is_current(db: Database) -> bool:
    """Whether the database is at the newest revision."""
    return not revision_of(db).fault


def check(db: Database) -> None:
    """Raise DatabaseUnusable unless the database responds and is at the newest revision."""
    with database_errors():
        fault = revision_of(db).fault
    if fault:
        raise DatabaseUnusable(fault)
