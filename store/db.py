"""Engines and transactions on SQLite (WAL) and Postgres.

Two kinds of transaction, `read` and `write`. On SQLite a write takes the write lock when it begins, so that a claim
cannot be made twice and no transaction fails half-way for a lock; reads never wait for it. On Postgres both are the
same, and rows are locked where a query says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session, sessionmaker

_BUSY_TIMEOUT_S = 60


class Database:
    """The one way to the tables: `with db.write() as tx: ...` commits at the end, and rolls back on an exception."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            Path(self.url.database or "").parent.mkdir(parents=True, exist_ok=True)
            # The pool may hand out as many connections as threads ask for: they only wait for the file's lock.
            self.reader = _sqlite(url, begin="BEGIN", pool_size=pool_size)
            self.writer = _sqlite(url, begin="BEGIN IMMEDIATE", pool_size=pool_size)
        else:
            self.reader = self.writer = create_engine(
                url, pool_size=pool_size, max_overflow=30, pool_pre_ping=True, pool_recycle=1800
            )
        self._read = sessionmaker(self.reader, expire_on_commit=False)
        self._write = sessionmaker(self.writer, expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that only looks."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that changes rows; committed when the block ends."""
        with self._write.begin() as session:
            yield session

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.reader.dispose()
        self.writer.dispose()


def _sqlite(url: str, *, begin: str, pool_size: int) -> Engine:
    engine = create_engine(
        url, pool_size=pool_size, max_overflow=50, connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False}
    )

    # Python 3.11's sqlite3 begins transactions by its own rules; these two hooks hand that to SQLAlchemy.
    @event.listens_for(engine, "connect")
    def _connect(dbapi: Any, _record: Any) -> None:
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # what was acknowledged survives a power cut, too
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-16000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)

    return engine
