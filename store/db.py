"""Engines and transactions for SQLite (WAL) and Postgres.

There are two kinds of transaction, `read` and `write`. On SQLite a write takes the write lock when it begins, so that a
claim cannot be made twice and no transaction fails halfway because of a lock; reads never wait for it. On Postgres a
write is an ordinary transaction (READ COMMITTED), and queries lock rows explicitly. In READ COMMITTED each statement
has its own snapshot, inside or outside a transaction. Reads therefore run in autocommit: one round trip per statement.
"""

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SQLiteConnection
from typing import Literal, Protocol

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from store.errors import DatabaseUnusable, SettingInvalid
from store.settings import PASSWORD_REMEDY

_DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_CONNECT_TIMEOUT_S = 10
_BUSY_TIMEOUT_S = 60
_PING_AFTER_S = 5
_IDLE_IN_TRANSACTION_S = 15.0
# Last in, first out: few connections stay in use, and a quiet service leaves the others idle.
_LIFO = True


class Database:
    """The only access to the tables: `with db.write() as tx: ...` commits at the end and rolls back on an exception."""

    def __init__(self, url: str, *, pool_size: int = 10, idle_in_transaction_s: float = _IDLE_IN_TRANSACTION_S) -> None:
        """`idle_in_transaction_s`: Postgres ends a transaction whose process sends nothing for so long, so that a
        process that was suspended in a transaction does not keep the locks of its rows.

        Connects at first use. Raises SettingInvalid, and DatabaseUnusable if no folder can be made for SQLite.
        """
        self.url = _parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            _create_folder(Path(self.url.database or ""))
            # The pool may open one connection per thread: threads only wait for the lock of the file.
            self.reader = _sqlite(url, begin="BEGIN", pool_size=pool_size)
            self.writer = _sqlite(url, begin="BEGIN IMMEDIATE", pool_size=pool_size)
        else:
            self.reader = _postgres(self.url, pool_size=pool_size, isolation_level="AUTOCOMMIT")
            self.writer = _postgres(self.url, pool_size=pool_size, isolation_level="READ COMMITTED")
            _end_idle_transactions(self.writer, idle_in_transaction_s)
        self._read = sessionmaker(self.reader, expire_on_commit=False)
        self._write = sessionmaker(self.writer, expire_on_commit=False)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A read-only session. On Postgres each statement sees the rows that were committed before it began."""
        with self._read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that may change rows; committed when the block ends."""
        with self._write.begin() as session:
            yield session

    def dispose(self) -> None:
        """Close every pooled connection."""
        self.reader.dispose()
        self.writer.dispose()


def _parse_url(url: str) -> URL:
    not_a_url = SettingInvalid(
        "LIMBECK_DATABASE_URL is not a database URL: write postgresql://USER@HOST:5432/NAME or "
        f"sqlite:////FOLDER/limbeck.db; {PASSWORD_REMEDY.format('DATABASE')}"
    )
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise not_a_url from None
    # An unescaped @ of the password: what follows it would be taken for the host and the name of the database.
    if parsed.get_backend_name() == "postgresql" and "@" in f"{parsed.host}{parsed.database}":
        raise not_a_url
    if parsed.drivername not in _DRIVERS:
        raise SettingInvalid(
            f"LIMBECK_DATABASE_URL names {parsed.drivername}, which is not supported: write postgresql:// or sqlite:///"
        )
    return parsed


def _create_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnusable(
            f"the folder {file.parent} of the database cannot be created: {error.strerror}"
        ) from None


@contextmanager
def database_errors() -> Iterator[None]:
    """Turn an error of SQLAlchemy into DatabaseUnusable with the first line of what the driver says."""
    try:
        yield
    except SQLAlchemyError as error:
        lines = str(getattr(error, "orig", None) or error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise DatabaseUnusable(f"the database does not respond: {reason}") from error


class _PostgresConnection(DBAPIConnection, Protocol):
    """A connection of psycopg."""

    def fileno(self) -> int: ...


def _postgres(url: URL, *, pool_size: int, isolation_level: Literal["AUTOCOMMIT", "READ COMMITTED"]) -> Engine:
    engine = create_engine(
        url,
        connect_args={} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_TIMEOUT_S},
        pool_size=pool_size,
        max_overflow=30,
        pool_recycle=1800,
        pool_use_lifo=_LIFO,
        isolation_level=isolation_level,
    )

    @event.listens_for(engine, "checkin")
    def _checkin(_dbapi: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    # A ping at every checkout (`pool_pre_ping`) would cost a round trip for each statement of a read. A server that
    # shut down has closed the connection, and a closed socket is readable. Only an idle connection needs a ping: the
    # network may have dropped it without closing it.
    @event.listens_for(engine, "checkout")
    def _checkout(dbapi: _PostgresConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        idle_since = record.info.get("idle_since")
        if idle_since is None:
            return
        try:
            if time.monotonic() - idle_since > _PING_AFTER_S or _is_readable(dbapi.fileno()):
                engine.dialect.do_ping(dbapi)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError(f"the database server closed the connection: {error}") from error

    return engine


def _end_idle_transactions(engine: Engine, idle_s: float) -> None:
    @event.listens_for(engine, "connect")
    def _connect(dbapi: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        cursor = dbapi.cursor()
        cursor.execute(f"SET idle_in_transaction_session_timeout = {int(idle_s * 1000)}")
        cursor.close()
        dbapi.commit()


def _is_readable(socket: int) -> bool:
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

    # The sqlite3 module begins transactions by its own rules; these two hooks let SQLAlchemy begin them instead.
    @event.listens_for(engine, "connect")
    def _connect(dbapi: SQLiteConnection, _record: ConnectionPoolEntry) -> None:
        dbapi.isolation_level = None
        cursor = dbapi.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")  # acknowledged commits survive a power failure
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA cache_size=-16000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
