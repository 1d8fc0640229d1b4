"""Engines and transactions on SQLite (WAL) and Postgres.

Two kinds of transaction, `read` and `write`. On SQLite a write takes the write lock when it begins, so that a claim
cannot be made twice and no transaction fails half-way for a lock; reads never wait for it. On Postgres a write is an
ordinary transaction (READ COMMITTED), and rows are locked where a query says so. There each statement sees a snapshot
of its own, in a transaction or not: so a read has none around it, and costs one round trip a statement.
"""

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.orm import Session, sessionmaker

_BUSY_TIMEOUT_S = 60
_PING_AFTER_S = 5
# Last in, first out: few connections stay warm, and a quiet service lets the others be.
_LIFO = True


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
            self.reader = _postgres(url, pool_size=pool_size, isolation_level="AUTOCOMMIT")
            self.writer = _postgres(url, pool_size=pool_size, isolation_level="READ COMMITTED")
        self._read = sessionmaker(self.reader, expire_on_commit=False)
        self._write = sessionmaker(self.writer, expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only looks. On Postgres each statement sees what is committed when it begins."""
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


def _postgres(url: str, *, pool_size: int, isolation_level: Literal["AUTOCOMMIT", "READ COMMITTED"]) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=30,
        pool_recycle=1800,
        pool_use_lifo=_LIFO,
        isolation_level=isolation_level,
    )

    @event.listens_for(engine, "checkin")
    def _checkin(_dbapi: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    # A ping at every checkout (`pool_pre_ping`) would be a round trip for each statement of a read. A server that went
    # away has closed the line, and what is closed can be read from; only a line that was cut in silence must be asked.
    @event.listens_for(engine, "checkout")
    def _checkout(dbapi: Any, record: Any, _proxy: Any) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None:
            return
        try:
            if time.monotonic() - idle_since > _PING_AFTER_S or _has_news(dbapi.fileno()):
                engine.dialect.do_ping(dbapi)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError(f"the server has gone away: {error}") from error

    return engine


def _has_news(socket: int) -> bool:
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


def _sqlite(url: str, *, begin: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=50,
        pool_use_lifo=_LIFO,
        connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False},
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
