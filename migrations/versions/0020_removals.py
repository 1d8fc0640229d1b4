"""Large tables have no foreign key to the resource that they belong to, so that it can be deleted before its rows."""

import re
from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# (table, column, table and column that it refers to)
_KEYS = (
    ("labels", "vocabulary_id", "vocabularies", "id"),
    ("llm_batches", "job_id", "jobs", "id"),
    ("llm_batches", "part_id", "parts", "id"),
    ("llm_calls", "job_id", "jobs", "id"),
    ("attribute_set_pages", "set_id", "attribute_sets", "id"),
    ("attribute_draft_entries", "set_id", "attribute_drafts", "set_id"),
    ("gate_failures", "set_id", "attribute_sets", "id"),
    ("enrich_results", "job_id", "jobs", "id"),
    ("enrich_pages", "job_id", "jobs", "id"),
    ("parts", "job_id", "jobs", "id"),
    ("events", "job_id", "jobs", "id"),
)


def _clause(table: str, column: str, referred: str, referred_column: str) -> str:
    return f"CONSTRAINT fk_{table}_{column}_{referred} FOREIGN KEY({column}) REFERENCES {referred} ({referred_column})"


def upgrade() -> None:
    op.create_table(
        "removals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removals")),
    )
    for table, *key in _KEYS:
        if op.get_bind().dialect.name == "sqlite":
            _rewrite(table, _without, _clause(table, *key))
        else:
            op.drop_constraint(op.f(f"fk_{table}_{key[0]}_{key[1]}"), table, type_="foreignkey")


def downgrade() -> None:
    for table, column, referred, referred_column in reversed(_KEYS):
        if op.get_bind().dialect.name == "sqlite":
            _rewrite(table, _with, _clause(table, column, referred, referred_column))
        else:
            name = op.f(f"fk_{table}_{column}_{referred}")
            op.create_foreign_key(name, table, referred, [column], [referred_column])
    op.drop_table("removals")


def _without(sql: str, clause: str) -> str:
    return re.sub(rf",\s*{re.escape(clause)}", "", sql)


def _with(sql: str, clause: str) -> str:
    return f"{sql.rstrip().removesuffix(')').rstrip()}, \n\t{clause}\n)"


def _rewrite(table: str, change: Callable[[str, str], str], clause: str) -> None:
    """Copy a table of SQLite into one with changed SQL. Its indexes are created again as they were: a batch of Alembic
    would lose the condition of partial ones."""
    connection = op.get_bind()
    query = sa.text("select type, sql from sqlite_master where tbl_name = :table and sql is not null")
    rows = connection.execute(query, {"table": table}).all()
    (created,) = (sql for kind, sql in rows if kind == "table")
    copy = f"_{table}_copy"
    new = re.sub(rf'^CREATE TABLE "?{table}"?', f"CREATE TABLE {copy}", created)
    connection.exec_driver_sql(change(new, clause))
    connection.exec_driver_sql(f"insert into {copy} select * from {table}")
    connection.exec_driver_sql(f"drop table {table}")
    connection.exec_driver_sql(f"alter table {copy} rename to {table}")
    for kind, sql in rows:
        if kind == "index":
            connection.exec_driver_sql(sql)
