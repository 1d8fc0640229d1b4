"""A digest of the inputs of each page of an enrich job, so that the next job with equal inputs reuses the page."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("enrich_pages", sa.Column("inputs", sa.Text(), nullable=True))
    op.create_index("ix_enrich_pages_inputs", "enrich_pages", ["inputs"])


def downgrade() -> None:
    op.drop_index("ix_enrich_pages_inputs", table_name="enrich_pages")
    op.drop_column("enrich_pages", "inputs")
