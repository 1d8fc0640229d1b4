"""Index the parts of a job by kind: progress is summed per kind and read from this index in order."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_parts_job_id_kind_position", "parts", ["job_id", "kind", "position"])
    op.drop_index("ix_parts_job_id_position", table_name="parts")


def downgrade() -> None:
    op.create_index("ix_parts_job_id_position", "parts", ["job_id", "position"])
    op.drop_index("ix_parts_job_id_kind_position", table_name="parts")
