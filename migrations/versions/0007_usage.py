"""Calls are paged by job, the sums of a job contain its planned questions, and parts state whether they hold budget."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)


def upgrade() -> None:
    op.drop_index("ix_llm_calls_job_id", table_name="llm_calls")
    op.create_index("ix_llm_calls_job_id_id", "llm_calls", ["job_id", "id"])
    op.add_column("spends", sa.Column("plan", _JSON, nullable=False, server_default=sa.text("'{}'")))
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("spends", "plan", server_default=None)
    op.add_column("parts", sa.Column("holds_budget", sa.Boolean(), nullable=False, server_default=sa.text("false")))


def downgrade() -> None:
    op.drop_column("parts", "holds_budget")
    op.drop_column("spends", "plan")
    op.drop_index("ix_llm_calls_job_id_id", table_name="llm_calls")
    op.create_index("ix_llm_calls_job_id", "llm_calls", ["job_id"])
