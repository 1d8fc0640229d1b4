"""Jobs are found by their kind, newest first."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_kind_id", "jobs", ["kind", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_kind_id", table_name="jobs")
