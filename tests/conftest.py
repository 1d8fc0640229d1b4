"""Databases for tests: a new SQLite file and a Postgres database with empty tables, both created by the migrations.

`LIMBECK_TEST_POSTGRES` is the URL of the Postgres server. In CI a missing server is a failure; elsewhere the tests that
need it are skipped with a message.
"""

import os
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import psycopg
import pytest
from sqlalchemy import delete, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from store.db import Database
from store.migrate import upgrade
from store.models import Base
from tests.marked_pages import ROWS, rows_of
from tests.redis_server import start_redis

POSTGRES = os.environ.get("LIMBECK_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


# All tables, a table before those that it refers to.
_TABLES = Base.metadata.sorted_tables[::-1]
_HAVE_ROWS = text("select " + ", ".join(f'exists(select from "{table.name}")' for table in _TABLES))
# The fixtures that need Postgres or Redis.
_SERVER_FIXTURES = {"postgres_db", "postgres_url", "redis_url"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that need a server, by their fixtures and by the parameter `postgres`; and the contract tests."""
    if config.args == config.getini("testpaths"):  # all tests
        config.stash[ROWS] = rows_of(items)
    for item in items:
        if item.path.parent.name == "contract":
            item.add_marker("slow")
            if item.path.stem == "test_distributed":
                item.add_marker("servers")
            one_mode = item.get_closest_marker("nightly_in")
            if one_mode and item.path.stem == f"test_{one_mode.args[0]}":
                item.add_marker("nightly")
        fixtures = set(getattr(item, "fixturenames", ()))
        parameters = getattr(item, "callspec", None)
        if fixtures & _SERVER_FIXTURES or (parameters and "postgres" in parameters.params.values()):
            item.add_marker("servers")
    # Worker processes of pytest take files in this order. The contract tests take longest and wait much; the files with
    # quick tests come last, so that all workers end at about the same time.
    with_slow_tests = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path.parent.name != "contract", item.path not in with_slow_tests))


def skip_or_fail(server: str, error: Exception | str) -> NoReturn:
    """Fail the test in CI; skip it elsewhere."""
    message = f"{server} cannot be reached: {error}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


@contextmanager
def fresh_postgres() -> Iterator[str]:
    """Create a migrated Postgres database, yield its URL, and drop the database at the end."""
    name = f"limbeck_test_{uuid.uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError as error:
        skip_or_fail("Postgres", error)
    admin.execute(f'create database "{name}"')
    # No test stops the server, so that a commit need not wait for the disk.
    admin.execute(f'alter database "{name}" set synchronous_commit to off')
    url = make_url(POSTGRES).set(drivername="postgresql+psycopg", database=name).render_as_string(hide_password=False)
    db = Database(url)
    upgrade(db)
    db.dispose()
    yield url
    admin.execute(f'drop database "{name}" with (force)')
    admin.close()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of the Postgres database of this test session."""
    with fresh_postgres() as url:
        yield url


def _delete_rows(tx: Session) -> None:
    """Empty all tables. `truncate` takes Postgres far longer: it writes new files for every table and index."""
    for table, has_rows in zip(_TABLES, tx.execute(_HAVE_ROWS).one(), strict=True):
        if has_rows:
            tx.execute(delete(table))


def _forbid_writes_in_reads(db: Database) -> None:
    """Make every write and every row lock inside `read()` fail."""
    read_only = "pragma query_only = on" if db.is_sqlite else "set default_transaction_read_only = on"

    @event.listens_for(db.reader, "connect")
    def _connect(dbapi: Any, _record: Any) -> None:
        dbapi.execute(read_only)


def _close(db: Database) -> None:
    """Close the connections after the threads of earlier requests have returned theirs; wait at most 10 s."""
    deadline = time.monotonic() + 10
    while any(cast(QueuePool, engine.pool).checkedout() for engine in {db.reader, db.writer}):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    db.dispose()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database that the migrations created once; tests copy the file."""
    path = tmp_path_factory.mktemp("migrated") / "limbeck.db"
    db = Database(f"sqlite:///{path}")
    upgrade(db)
    db.dispose()
    return path


@pytest.fixture
def sqlite_db(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Database]:
    """A new SQLite database."""
    shutil.copy(migrated_sqlite, tmp_path / "limbeck.db")
    db = Database(f"sqlite:///{tmp_path / 'limbeck.db'}")
    _forbid_writes_in_reads(db)  # before the first connection
    yield db
    _close(db)


@pytest.fixture
def postgres_db(postgres_url: str) -> Iterator[Database]:
    """The Postgres database of this session, with all tables empty."""
    db = Database(postgres_url)
    with db.write() as tx:
        _delete_rows(tx)
    _forbid_writes_in_reads(db)
    yield db
    _close(db)


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest) -> Database:
    """A database of each kind, one after the other."""
    database: Database = request.getfixturevalue(f"{request.param}_db")
    return database


@pytest.fixture(scope="session")
def cub() -> Path:
    """The folder of the published CUB labels and sentences; skips the test if it is missing."""
    return _published(SHARED_DATA / "li2023" / "CaltechBirds")


@pytest.fixture(scope="session")
def tiered_imagenet() -> Path:
    """The folder of the published labels and sentences of tiered-ImageNet; skips the test if it is missing."""
    return _published(SHARED_DATA / "li2023" / "tiered-ImageNet")


@pytest.fixture(scope="session")
def dclip_cub() -> Path:
    """The published DCLIP descriptors of CUB; skips the test without the file."""
    return _published(SHARED_DATA / "dclip" / "descriptors_cub.json")


@pytest.fixture(scope="session")
def cupl_pets() -> Path:
    """The published CuPL sentences of pets; skips the test without the file."""
    return _published(SHARED_DATA / "cupl" / "cupl_pets.json")


def _published(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"the published files are not at {path}")
    return path


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A redis-server of the tests of one module."""
    if not shutil.which("redis-server"):
        skip_or_fail("Redis", "redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = start_redis(port, tmp_path_factory.mktemp("redis"))
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait()
