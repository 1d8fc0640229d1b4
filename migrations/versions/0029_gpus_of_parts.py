"""A part says how many GPUs a worker must have for it, and a heartbeat how many a worker has."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("parts", "beats"):
        op.add_column(table, sa.Column("num_gpus", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    for table in ("parts", "beats"):
        op.drop_column(table, "num_gpus")
