"""Resources and jobs have an owner: the name of the key that created them. Existing ones have none."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_TABLES = ("vocabularies", "attribute_sets", "caption_sets", "text_targets", "datasets", "jobs", "checkpoints")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("owner", sa.Text(), nullable=True))
        op.create_index(f"ix_{table}_owner_id", table, ["owner", "id"])


def downgrade() -> None:
    for table in _TABLES:
        op.drop_index(f"ix_{table}_owner_id", table_name=table)
        op.drop_column(table, "owner")
