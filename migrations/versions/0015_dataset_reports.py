"""Datasets have a report of what lies in their folder with its warnings, and the contents of their images."""

import sqlalchemy as sa
from alembic import op

from store.models import Json

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("datasets", sa.Column("report_key", sa.Text(), nullable=True))
    op.add_column("datasets", sa.Column("contents_key", sa.Text(), nullable=True))
    op.add_column("datasets", sa.Column("warnings", Json, nullable=False, server_default="[]"))


def downgrade() -> None:
    op.drop_column("datasets", "warnings")
    op.drop_column("datasets", "contents_key")
    op.drop_column("datasets", "report_key")
