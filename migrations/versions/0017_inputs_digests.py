"""Vocabularies, datasets and jobs have a digest of what they were made from, by which an equal one is found again."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_RESOURCES = ("vocabularies", "datasets")


def upgrade() -> None:
    for table in (*_RESOURCES, "jobs"):
        op.add_column(table, sa.Column("inputs_digest", sa.Text(), nullable=True))
        # Rows of earlier releases have none, and unknown values are distinct in both databases.
        op.create_index(f"ix_{table}_inputs_digest", table, ["inputs_digest"], unique=table in _RESOURCES)


def downgrade() -> None:
    for table in (*_RESOURCES, "jobs"):
        op.drop_index(f"ix_{table}_inputs_digest", table_name=table)
        op.drop_column(table, "inputs_digest")
