"""Rows that are stored once: an equal row is found by its `inputs_digest`, also while another transaction writes it."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.models import Base, Dataset, Vocabulary

_BATCH = 1_000

RowT = TypeVar("RowT", Vocabulary, Dataset)


def find(tx: Session, model: type[RowT], inputs_digest: str) -> RowT | None:
    """The row with this digest, or None."""
    return tx.scalar(select(model).where(model.inputs_digest == inputs_digest))


def put_unique(tx: Session, row: RowT) -> RowT:
    """Insert `row`, or return the stored row with its `inputs_digest`. A row without one is always inserted.

    If another transaction is inserting an equal row, this one waits for it: Postgres on the unique index, SQLite on the
    write lock.
    """
    model = type(row)
    values = {column.key: getattr(row, column.key) for column in model.__mapper__.column_attrs}
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(model).values(values).on_conflict_do_nothing(index_elements=["inputs_digest"])
    while True:
        inserted = tx.scalar(statement.returning(model.id))
        same = model.id == inserted if inserted is not None else model.inputs_digest == row.inputs_digest
        # Held, because the caller refers to it. An equal row that was just deleted is inserted again.
        stored = tx.scalar(select(model).where(same).with_for_update(read=True, key_share=True))
        if stored is not None:
            return stored


def insert_ignore(tx: Session, model: type[Base], rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows; skip those whose key exists."""
    tx.flush()
    # Use the connection: the session has nothing to track here, and an insert through it would cost twice as much.
    connection = tx.connection()
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(model.__table__).on_conflict_do_nothing()
    for start in range(0, len(rows), _BATCH):
        connection.execute(statement, [dict(row) for row in rows[start : start + _BATCH]])
