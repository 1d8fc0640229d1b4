"""Results of enrich jobs are keyed by position first, so that all results of a page of labels are one range of the key.
An enrich job names a list of strategies."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLE = "enrich_results"
_JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)


def upgrade() -> None:
    _set_primary_key("job_id", "position", "step", "slot")
    _convert_specs(lambda spec: {**_without(spec, "strategy"), "strategies": [f"{spec.get('strategy', 'describe')}@1"]})


def downgrade() -> None:
    _set_primary_key("job_id", "step", "position", "slot")
    _convert_specs(lambda spec: {**_without(spec, "strategies"), "strategy": "describe"})


def _without(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != name}


def _convert_specs(convert: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    jobs = sa.table("jobs", sa.column("id"), sa.column("kind"), sa.column("spec", _JSON))
    bind = op.get_bind()
    for id, spec in bind.execute(sa.select(jobs.c.id, jobs.c.spec).where(jobs.c.kind == "enrich")).all():
        bind.execute(sa.update(jobs).where(jobs.c.id == id).values(spec=convert(spec)))


def _set_primary_key(*columns: str) -> None:
    if op.get_bind().dialect.name != "sqlite":
        op.drop_constraint(f"pk_{_TABLE}", _TABLE, type_="primary")
        op.create_primary_key(f"pk_{_TABLE}", _TABLE, list(columns))
        return
    op.execute(f"create table before_{_TABLE} as select * from {_TABLE}")
    op.drop_table(_TABLE)
    op.create_table(
        _TABLE,
        sa.Column("job_id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("step", "position", "slot")),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("side", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("reason", "detail")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f(f"fk_{_TABLE}_job_id_jobs")),
        sa.ForeignKeyConstraint(["key"], ["llm_answers.key"], name=op.f(f"fk_{_TABLE}_key_llm_answers")),
        sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{_TABLE}")),
    )
    columns_in_order = "job_id, step, position, slot, key, side, reason, detail"
    op.execute(f"insert into {_TABLE} ({columns_in_order}) select {columns_in_order} from before_{_TABLE}")
    op.execute(f"drop table before_{_TABLE}")
