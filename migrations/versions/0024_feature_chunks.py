"""Chunks of teacher features in the artefact store."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feature_chunks",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("file_key", sa.Text(), nullable=False),
        sa.Column("num_rows", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("last_used_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_feature_chunks"),
    )
    op.create_index("ix_feature_chunks_last_used_at", "feature_chunks", ["last_used_at"])


def downgrade() -> None:
    op.drop_index("ix_feature_chunks_last_used_at", table_name="feature_chunks")
    op.drop_table("feature_chunks")
