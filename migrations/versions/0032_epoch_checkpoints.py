"""Checkpoints of running trainings."""

import sqlalchemy as sa
from alembic import op

from store.models import Json

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "epoch_checkpoints",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("metrics", Json, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_epoch_checkpoints_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", "epoch", name=op.f("pk_epoch_checkpoints")),
    )
    op.create_table(
        "epoch_files",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("file_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "epoch"],
            ["epoch_checkpoints.job_id", "epoch_checkpoints.epoch"],
            name=op.f("fk_epoch_files_job_id_epoch_checkpoints"),
        ),
        sa.PrimaryKeyConstraint("job_id", "epoch", "path", name=op.f("pk_epoch_files")),
    )
    op.create_index("ix_epoch_files_file_key", "epoch_files", ["file_key"])


def downgrade() -> None:
    op.drop_table("epoch_files")
    op.drop_table("epoch_checkpoints")
