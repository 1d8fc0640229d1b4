"""The result of a repair round, so that an equal set is not evaluated again."""

import sqlalchemy as sa
from alembic import op

from store.models import Json

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mend_rounds",
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("outcome", Json, nullable=False),
        sa.Column("file_key", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("inputs", name="pk_mend_rounds"),
    )


def downgrade() -> None:
    op.drop_table("mend_rounds")
