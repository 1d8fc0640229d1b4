"""Lists of one owner are read from an index in their order."""

from sqlalchemy import event

from store import resources
from store.db import Database
from store.models import AttributeSet, CaptionSet, Checkpoint, Dataset, Job, TextTargets, Vocabulary

OWNED = (Vocabulary, AttributeSet, CaptionSet, TextTargets, Dataset, Job, Checkpoint)


def test_a_page_of_an_owner_reads_its_index(sqlite_db: Database) -> None:
    statements: list[tuple[str, object]] = []
    event.listen(
        sqlite_db.reader, "before_cursor_execute", lambda _c, _k, sql, values, *_: statements.append((sql, values))
    )
    for model in OWNED:
        with sqlite_db.read() as tx:
            resources.page(tx, model, limit=20, after="zzz", owner="ann")
            sql, values = statements[-1]
            plan = [row[3] for row in tx.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)]
        table = model.__tablename__
        assert plan == [f"SEARCH {table} USING INDEX ix_{table}_owner_id (owner=? AND id<?)"]
