"""The index of running parts includes the kind; otherwise SQLite uses the larger index to get rows in order of kind."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_RUNNING = sa.text("status = 'running'")


def upgrade() -> None:
    op.drop_index("ix_parts_running", table_name="parts")
    op.create_index("ix_parts_running", "parts", ["job_id", "kind"], postgresql_where=_RUNNING, sqlite_where=_RUNNING)


def downgrade() -> None:
    op.drop_index("ix_parts_running", table_name="parts")
    op.create_index("ix_parts_running", "parts", ["job_id"], postgresql_where=_RUNNING, sqlite_where=_RUNNING)
