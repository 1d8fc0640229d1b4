"""Databases for tests: a fresh SQLite file and an emptied Postgres schema, both brought up by the migrations.

`LIMBECK_TEST_POSTGRES` and `LIMBECK_TEST_REDIS` say where the servers are. In CI a missing server is a failure; on a
machine without one the tests that need it are skipped, and say so.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import text
from sqlalchemy.engine import make_url

from store.db import Database
from store.migrate import upgrade
from store.models import Base

POSTGRES = os.environ.get("LIMBECK_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("LIMBECK_TEST_REDIS", "redis://127.0.0.1:6379/9")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _absent(server: str, error: Exception) -> None:
    message = f"{server} cannot be reached: {error}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A database of this session's own on the real server, migrated; dropped at the end."""
    name = f"limbeck_test_{uuid.uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        _absent("Postgres", error)
    admin.execute(f'create database "{name}"')
    url = make_url(POSTGRES).set(drivername="postgresql+psycopg", database=name)
    rendered = url.render_as_string(hide_password=False)
    db = Database(rendered)
    upgrade(db)
    db.dispose()
    yield rendered
    admin.execute(f'drop database "{name}" with (force)')
    admin.close()


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The real Redis, in a database number of the tests' own."""
    try:
        redis.Redis.from_url(REDIS, socket_connect_timeout=5).ping()
    except redis.exceptions.ConnectionError as error:
        _absent("Redis", error)
    return REDIS


@pytest.fixture
def sqlite_db(tmp_path: Path) -> Iterator[Database]:
    """A fresh SQLite database."""
    db = Database(f"sqlite:///{tmp_path / 'limbeck.db'}")
    upgrade(db)
    yield db
    db.dispose()


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[Database]:
    """The session's Postgres database, with every table empty."""
    db = Database(postgres_url)
    tables = ", ".join(f'"{table.name}"' for table in Base.metadata.sorted_tables)
    with db.write() as tx:
        tx.execute(text(f"truncate {tables} cascade"))
    yield db
    db.dispose()


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
