"""Jobs have a priority and can be paused; parts count their attempts without progress.

The attempts of parts that are still to run count as attempts without progress, as they did before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

_QUEUED = sa.text("status = 'queued'")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
    for name in ("priority", "idle_attempts", "saved_units"):
        op.add_column("parts", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE parts SET idle_attempts = attempts WHERE status IN ('waiting', 'queued', 'running')")
    columns = ["queue", "priority", "job_id", "not_before"]
    op.create_index("ix_parts_urgency", "parts", columns, postgresql_where=_QUEUED, sqlite_where=_QUEUED)


def downgrade() -> None:
    # An earlier release knows no paused jobs.
    op.execute("UPDATE parts SET status = 'queued' WHERE status = 'paused'")
    op.execute("UPDATE jobs SET status = 'running', stopping = NULL WHERE status IN ('pausing', 'paused')")
    op.drop_index("ix_parts_urgency", table_name="parts")
    for name in ("priority", "idle_attempts", "saved_units"):
        op.drop_column("parts", name)
    op.drop_column("jobs", "priority")
