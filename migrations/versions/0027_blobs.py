"""The files of bundles are pieces of blobs, which are stored once; tables of the periodic clean-up."""

import sqlalchemy as sa
from alembic import op

from store.models import Json

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("file_key", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("ends", Json, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blobs")),
    )
    with op.batch_alter_table("checkpoint_files") as batch:
        batch.alter_column("file_key", existing_type=sa.Text(), nullable=True)
        batch.alter_column("size", existing_type=sa.Integer(), type_=sa.BigInteger(), existing_nullable=False)
    op.create_table(
        "blob_pieces",
        sa.Column("checkpoint_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint_id", "path"],
            ["checkpoint_files.checkpoint_id", "checkpoint_files.path"],
            name=op.f("fk_blob_pieces_checkpoint_id_checkpoint_files"),
        ),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("fk_blob_pieces_sha256_blobs")),
        sa.PrimaryKeyConstraint("checkpoint_id", "path", "position", name=op.f("pk_blob_pieces")),
    )
    op.create_index("ix_blob_pieces_sha256", "blob_pieces", ["sha256"])
    op.create_table(
        "unlisted_entries",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_unlisted_entries")),
    )
    op.create_table(
        "upkeep_turns",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_upkeep_turns")),
    )


def downgrade() -> None:
    # An earlier release cannot read bundles of pieces: they are gone for it.
    op.drop_table("upkeep_turns")
    op.drop_table("unlisted_entries")
    op.drop_table("blob_pieces")
    op.execute("delete from checkpoint_files where file_key is null")
    with op.batch_alter_table("checkpoint_files") as batch:
        batch.alter_column("file_key", existing_type=sa.Text(), nullable=False)
        batch.alter_column("size", existing_type=sa.BigInteger(), type_=sa.Integer(), existing_nullable=False)
    op.drop_table("blobs")
