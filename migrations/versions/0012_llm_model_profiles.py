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
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("profile", Json, nullable=False),
        sa.Column("learned_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("base_url", "model", name="pk_llm_model_profiles"),
    )
    op.create_table(
        "llm_outages",
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("failed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("base_url", "model", name="pk_llm_outages"),
    )


def downgrade() -> None:
    op.drop_table("llm_outages")
    op.drop_table("llm_model_profiles")
    op.create_table(
        "llm_forms",
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("form", Json, nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("base_url", "model", name="pk_llm_forms"),
    )
