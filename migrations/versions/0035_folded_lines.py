"""Pages store the texts of their lines without case, so that lines are searched without reading an entry."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from limbeck.shared.labels import fold

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
_SEPARATOR = "\x1e"


def upgrade() -> None:
    op.add_column("attribute_pages", sa.Column("folded", sa.Text(), nullable=False, server_default=""))
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("attribute_pages", "folded", server_default=None)
    _fold_pages()


def downgrade() -> None:
    op.drop_column("attribute_pages", "folded")


def _fold_pages() -> None:
    bind = op.get_bind()
    pages = sa.table("attribute_pages", sa.column("digest"), sa.column("entries", _JSON), sa.column("folded"))
    entries = sa.table("attribute_entries", sa.column("digest"), sa.column("lines", _JSON))
    for digest in list(bind.scalars(sa.select(pages.c.digest))):
        digests = bind.scalar(sa.select(pages.c.entries).where(pages.c.digest == digest)) or []
        rows = bind.execute(sa.select(entries).where(entries.c.digest.in_([entry for entry in digests if entry])))
        texts = {row.digest: _folded(row.lines) for row in rows}
        folded = _SEPARATOR.join(texts[entry] if entry else "" for entry in digests)
        bind.execute(sa.update(pages).where(pages.c.digest == digest).values(folded=folded))


def _folded(lines: Sequence[Any]) -> str:
    return "\n".join(fold(line["text"].replace(_SEPARATOR, " ")) for line in lines)
