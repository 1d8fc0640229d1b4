"""Keys have limits and the time of their last use; writes are recorded."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("requests_per_min", sa.Integer(), nullable=True))
    op.add_column("api_keys", sa.Column("max_jobs", sa.Integer(), nullable=True))
    op.add_column("api_keys", sa.Column("budget_pusd", sa.BigInteger(), nullable=True))
    op.add_column("api_keys", sa.Column("last_used_at", sa.Double(), nullable=True))
    op.create_index(
        "ix_jobs_unfinished_owner",
        "jobs",
        ["owner"],
        postgresql_where=sa.text("finished_at IS NULL"),
        sqlite_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "audit_records",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=True),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("client", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_records")),
    )
    op.create_index("ix_audit_records_owner_id", "audit_records", ["owner", "id"])
    op.create_index("ix_audit_records_resource_id_id", "audit_records", ["resource_id", "id"])


def downgrade() -> None:
    op.drop_table("audit_records")
    op.drop_index("ix_jobs_unfinished_owner", table_name="jobs")
    for column in ("last_used_at", "budget_pusd", "max_jobs", "requests_per_min"):
        op.drop_column("api_keys", column)
