"""Read and write transactions, and replacement of connections that the server closed."""

import time

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import store.db
from store import vocabularies
from store.db import Database
from store.models import Vocabulary
from store.vocabularies import NewLabel


def add(tx: Session) -> None:
    vocabularies.create(tx, name="birds", domain="birds", labels=[NewLabel("crane")])


def add_and_fail(tx: Session) -> None:
    add(tx)
    tx.execute(text("this is no statement"))


def count(tx: Session) -> int:
    return tx.scalars(select(func.count()).select_from(Vocabulary)).one()


def backend(tx: Session) -> int:
    return tx.scalars(select(func.pg_backend_pid())).one()


def terminate(db: Database, pid: int) -> None:
    """Terminate a server process and wait until it has ended."""
    with db.write() as tx:
        assert tx.scalar(text("select pg_terminate_backend(:pid, 5000)"), {"pid": pid})


def test_a_write_is_atomic(db: Database) -> None:
    with db.write() as tx:
        add(tx)
    with pytest.raises(DBAPIError), db.write() as tx:
        add_and_fail(tx)
    with db.read() as tx:
        assert count(tx) == 1


def test_a_read_cannot_write_or_lock(db: Database) -> None:
    with pytest.raises(DBAPIError), db.read() as tx:
        add(tx)
    with db.read() as tx:
        assert count(tx) == 0
        if not db.is_sqlite:
            with pytest.raises(DBAPIError):
                tx.execute(select(Vocabulary).with_for_update())


def test_each_statement_of_a_read_sees_committed_rows(postgres_db: Database) -> None:
    with postgres_db.read() as tx:
        assert count(tx) == 0
        with postgres_db.write() as other:
            add(other)
        assert count(tx) == 1


@pytest.mark.parametrize("silent", [False, True])
def test_a_connection_that_the_server_closed_is_replaced(
    postgres_db: Database, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if silent:  # as if a firewall had dropped the connection: only a ping detects it
        monkeypatch.setattr(store.db, "_is_readable", lambda _socket: False)
        monkeypatch.setattr(store.db, "_PING_AFTER_S", 0.0)
    with postgres_db.read() as tx:
        reader_pid = backend(tx)
    terminate(postgres_db, reader_pid)
    with postgres_db.read() as tx:
        assert backend(tx) != reader_pid
    with postgres_db.write() as tx:
        writer_pid = backend(tx)
    terminator = Database(postgres_db.url.render_as_string(hide_password=False))
    terminate(terminator, writer_pid)
    terminator.dispose()
    with postgres_db.write() as tx:
        assert backend(tx) != writer_pid


def test_only_idle_connections_are_pinged(postgres_db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    pings: list[float] = []
    monkeypatch.setattr(postgres_db.reader.dialect, "do_ping", lambda _dbapi: pings.append(time.monotonic()))
    for _ in range(3):
        with postgres_db.read() as tx:
            count(tx)
    assert not pings
    monkeypatch.setattr(store.db, "_PING_AFTER_S", 0.05)
    time.sleep(0.1)
    with postgres_db.read() as tx:
        count(tx)
    assert len(pings) == 1


def test_a_transaction_of_a_suspended_process_loses_its_locks(postgres_db: Database, postgres_url: str) -> None:
    with postgres_db.write() as tx:
        add(tx)
    suspended = Database(postgres_url, idle_in_transaction_s=0.2)

    def overwrite(tx: Session) -> None:
        row = tx.scalars(select(Vocabulary).with_for_update()).one()
        with postgres_db.write() as other:  # waits for the lock
            other.scalars(select(Vocabulary).with_for_update()).one().name = "changed"
        row.name = "overwritten"
        tx.flush()

    try:
        with pytest.raises(DBAPIError), suspended.write() as tx:
            overwrite(tx)
        with postgres_db.read() as tx:
            assert tx.scalars(select(Vocabulary.name)).one() == "changed"
    finally:
        suspended.dispose()
