"""Counters for Prometheus; figures of running parts, and when a part was queued."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("labels", sa.Text(), primary_key=True),
        sa.Column("value", sa.Double(), nullable=False),
    )
    op.create_table(
        "counter_increments",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
    )
    op.add_column("parts", sa.Column("gauges", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")))
    op.add_column("parts", sa.Column("queued_at", sa.Double(), nullable=True))
    op.execute(
        "UPDATE parts SET queued_at = (SELECT created_at FROM jobs WHERE jobs.id = parts.job_id) "
        "WHERE status = 'queued'"
    )


def downgrade() -> None:
    op.drop_column("parts", "queued_at")
    op.drop_column("parts", "gauges")
    op.drop_table("counter_increments")
    op.drop_table("counters")
