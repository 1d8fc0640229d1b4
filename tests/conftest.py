"""Databases for tests: a fresh SQLite file and an emptied Postgres schema, both brought up by the migrations.

`LIMBECK_TEST_POSTGRES` says where the server is. In CI a missing server is a failure; on a machine without one the
tests that need it are skipped, and say so.
"""

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

from store.db import Database
from store.migrate import upgrade
from store.models import Base

POSTGRES = os.environ.get("LIMBECK_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def absent(server: str, error: Exception | str) -> NoReturn:
    """Fail in CI, skip elsewhere."""
    message = f"{server} cannot be reached: {error}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def fresh_postgres() -> Iterator[str]:
    """A new, migrated database on the real server; dropped at the end. Gives its URL."""
    name = f"limbeck_test_{uuid.uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        absent("Postgres", error)
    admin.execute(f'create database "{name}"')
    url = make_url(POSTGRES).set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)
    db = Database(url)
    upgrade(db)
    db.dispose()
    yield url
    admin.execute(f'drop database "{name}" with (force)')
    admin.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """This session's own database on the real server."""
    with fresh_postgres() as url:
        yield url


def _hold_to_looking(db: Database) -> None:
    """Let every write and every lock of a row within `read()` fail."""
    only = "pragma query_only = on" if db.is_sqlite else "set default_transaction_read_only = on"

    @event.listens_for(db.reader, "connect")
    def _connect(dbapi: Any, _record: Any) -> None:
        dbapi.execute(only)


def _close(db: Database) -> None:
    """Close the connections, once threads that a request left behind have given theirs back."""
    give_up = time.monotonic() + 10
    while any(cast(QueuePool, engine.pool).checkedout() for engine in {db.reader, db.writer}):
        if time.monotonic() > give_up:
            break
        time.sleep(0.02)
    db.dispose()


@pytest.fixture
def sqlite_db(tmp_path: Path) -> Iterator[Database]:
    """A fresh SQLite database."""
    db = Database(f"sqlite:///{tmp_path / 'limbeck.db'}")
    upgrade(db)
    _hold_to_looking(db)
    yield db
    _close(db)


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[Database]:
    """The session's Postgres database, with every table empty."""
    db = Database(postgres_url)
    tables = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
    with db.write() as tx:
        tx.execute(text(f"truncate {tables} cascade"))
    _hold_to_looking(db)
    yield db
    _close(db)


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest) -> Database:
    """Each of the two databases in turn."""
    found: Database = request.getfixturevalue(f"{request.param}_db")
    return found


@pytest.fixture(scope="session")
def cub() -> Path:
    """The published CUB labels and sentences, where they are at hand."""
    folder = SHARED_DATA / "li2023" / "CaltechBirds"
    if not folder.is_dir():
        pytest.skip(f"the published CUB files are not in {folder}")
    return folder
