"""An index over queued parts in the order of their queue, for the place of a job in it."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_QUEUED = sa.text("status = 'queued'")


def upgrade() -> None:
    columns = ["queue", "job_id", "not_before"]
    op.create_index("ix_parts_queued", "parts", columns, postgresql_where=_QUEUED, sqlite_where=_QUEUED)


def downgrade() -> None:
    op.drop_index("ix_parts_queued", table_name="parts")
