"""What was learned about a model is a profile that expires; outages of LLM servers have a table.

The response formats that were stored before are dropped: the next job learns them again with a few calls.
"""

import sqlalchemy as sa
from alembic import op

from store.models import Json

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("llm_forms")
    op.create_table(
        "llm_model_profiles",
        sa.Column("base_url", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("profile", Json, nullable=False),
        sa.Column("learned_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "llm_outages",
        sa.Column("base_url", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("failed_at", sa.Float(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("llm_outages")
    op.drop_table("llm_model_profiles")
    op.create_table(
        "llm_forms",
        sa.Column("base_url", sa.String(), primary_key=True),
        sa.Column("model", sa.String(), primary_key=True),
        sa.Column("form", Json, nullable=False),
        sa.Column("updated_at", sa.Float(), nullable=False),
    )
