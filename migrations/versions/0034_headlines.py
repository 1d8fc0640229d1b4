"""Checkpoints have the headline of their evaluation in a column of its own, so that lists do not read evaluations."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(JSONB(), "postgresql")
_NAMES = ("accuracy", "intervals", "harmonic_mean", "harmonic_intervals", "num_labels", "num_images", "chance")


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("headline", _JSON, nullable=False, server_default=sa.text("'{}'")))
    table = sa.table("checkpoints", sa.column("id"), sa.column("evaluation", _JSON), sa.column("headline", _JSON))
    connection = op.get_bind()
    for id in connection.scalars(sa.select(table.c.id)).all():  # one at a time: an evaluation can have megabytes
        evaluation = connection.scalars(sa.select(table.c.evaluation).where(table.c.id == id)).one()
        connection.execute(table.update().where(table.c.id == id).values(headline=_headline(evaluation)))


def _headline(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        part: {name: figures[name] for name in _NAMES if name in figures}
        for part, figures in evaluation.items()
        if isinstance(figures, Mapping)
    }


def downgrade() -> None:
    op.drop_column("checkpoints", "headline")
