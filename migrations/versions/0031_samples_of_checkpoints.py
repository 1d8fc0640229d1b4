"""Checkpoints have sample images with what the student took them for. Those of earlier releases have none."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("samples_key", sa.Text()))


def downgrade() -> None:
    op.drop_column("checkpoints", "samples_key")
