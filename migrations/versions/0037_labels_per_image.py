"""The mean number of labels of an image of a multi-label dataset."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("labels_per_image", sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column("datasets", "labels_per_image")
