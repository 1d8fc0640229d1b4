"""A job stores the sums over its parts by kind; a poll adds only the running parts, which have their own index."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("tally", _JSON, nullable=False, server_default=sa.text("'[]'")))
    if op.get_bind().dialect.name != "sqlite":  # SQLite would need a new table for this
        op.alter_column("jobs", "tally", server_default=None)
    _sum_up()
    running = sa.text("status = 'running'")
    op.create_index("ix_parts_running", "parts", ["job_id"], postgresql_where=running, sqlite_where=running)


def downgrade() -> None:
    op.drop_index("ix_parts_running", table_name="parts")
    op.drop_column("jobs", "tally")


def _sum_up() -> None:
    not_running = "sum(case when status <> 'running' then {} else 0 end)"
    rows = op.get_bind().execute(
        sa.text(
            f"select job_id, kind, {not_running.format('done')} as done, {not_running.format('total')} as total, "
            f"max(unit) as unit, {not_running.format('1')} - count(finished_at) as num_live, "
            "count(started_at) as num_begun from parts group by job_id, kind order by min(position)"
        )
    )
    tallies: dict[str, list[dict[str, Any]]] = {}
    for row in rows.mappings():
        counts = {name: int(row[name]) for name in ("done", "total", "num_live", "num_begun")}
        tallies.setdefault(row["job_id"], []).append({"kind": row["kind"], "unit": row["unit"], **counts})
    if tallies:
        jobs = sa.table("jobs", sa.column("id"), sa.column("tally", _JSON))
        statement = sa.update(jobs).where(jobs.c.id == sa.bindparam("of")).values(tally=sa.bindparam("sums"))
        op.get_bind().execute(statement, [{"of": job_id, "sums": sums} for job_id, sums in tallies.items()])
