"""Labels keep the identifiers that their file gives, such as a WordNet id, and their aliases."""

import sqlalchemy as sa
from alembic import op

from store.models import Json

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("labels", sa.Column("ids", Json, nullable=True))


def downgrade() -> None:
    op.drop_column("labels", "ids")
