"""Large tables have no foreign key to the resource that they belong to, so that it can be deleted before its rows."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# (table, column, table and column that it refers to)
_KEYS = (
    ("labels", "vocabulary_id", "vocabularies", "id"),
    ("llm_batches", "job_id", "jobs", "id"),
    ("llm_batches", "part_id", "parts", "id"),
    ("llm_calls", "job_id", "jobs", "id"),
    ("attribute_set_pages", "set_id", "attribute_sets", "id"),
    ("attribute_draft_entries", "set_id", "attribute_drafts", "set_id"),
    ("gate_failures", "set_id", "attribute_sets", "id"),
    ("enrich_results", "job_id", "jobs", "id"),
    ("enrich_pages", "job_id", "jobs", "id"),
    ("parts", "job_id", "jobs", "id"),
    ("events", "job_id", "jobs", "id"),
)


def _name(table: str, column: str, referred: str) -> str:
    return f"fk_{table}_{column}_{referred}"


def upgrade() -> None:
    op.create_table(
        "removals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_removals")),
    )
    for table, column, referred, _ in _KEYS:
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(_name(table, column, referred)), type_="foreignkey")


def downgrade() -> None:
    for table, column, referred, referred_column in reversed(_KEYS):
        with op.batch_alter_table(table) as batch:
            batch.create_foreign_key(op.f(_name(table, column, referred)), referred, [column], [referred_column])
    op.drop_table("removals")
