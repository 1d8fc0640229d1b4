"""The Alembic environment. The engine comes from `store.migrate`, or from the settings for the `alembic` command."""

from alembic import context
from sqlalchemy import Engine, text

from store.db import Database
from store.models import Base
from store.settings import Settings

_LOCK = 0x11BECC  # an arbitrary number that no other advisory lock in the database uses


def run() -> None:
    """Apply the revisions in one transaction; on Postgres under a lock, so that two services can start at once."""
    engine: Engine = context.config.attributes.get("engine") or Database(Settings().database).writer
    with engine.connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=engine.dialect.name == "sqlite",
            compare_type=True,
        )
        context.run_migrations()


run()
