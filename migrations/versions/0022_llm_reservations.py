"""What each attempt at a part may still spend on calls that are not recorded yet."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "llm_reservations",
        sa.Column("part_id", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("pusd", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"]),
        sa.PrimaryKeyConstraint("part_id", "token"),
    )
    op.create_index("ix_llm_reservations_job_id", "llm_reservations", ["job_id"])


def downgrade() -> None:
    op.drop_table("llm_reservations")
