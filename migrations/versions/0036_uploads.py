"""Uploads, and datasets whose images lie in one."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("num_files", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("inputs_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_owner_id", "uploads", ["owner", "id"])
    op.create_index("ix_uploads_inputs_digest", "uploads", ["inputs_digest"])
    op.create_index("ix_uploads_status_updated_at", "uploads", ["status", "updated_at"])
    # SQLite adds a foreign key only together with its column; a table that others refer to cannot be copied.
    op.execute(
        "ALTER TABLE datasets ADD COLUMN upload_id TEXT "
        "CONSTRAINT fk_datasets_upload_id_uploads REFERENCES uploads (id)"
    )
    op.create_index("ix_datasets_upload_id", "datasets", ["upload_id"])


def downgrade() -> None:
    op.drop_index("ix_datasets_upload_id", "datasets")
    op.drop_column("datasets", "upload_id")
    op.drop_table("uploads")
