"""The usage of a job counts its repeated calls and the responses whose JSON was repaired."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_COLUMNS = ("repeated_calls", "repaired_responses")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("spends", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE spends SET repeated_calls = (SELECT count(*) FROM llm_calls "
        "WHERE llm_calls.job_id = spends.job_id AND llm_calls.attempt > 1)"
    )


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_column("spends", name)
