"""Pages store marks: which entries are flagged, locked or of which origin. Indexes from a set to rows made from it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
_INDEXED = (
    ("attribute_sets", "parent_id"), ("text_targets", "attribute_set_id"), ("checkpoints", "attribute_set_id"),
)  # fmt: skip


def upgrade() -> None:
    op.add_column("attribute_pages", sa.Column("marks", _JSON, nullable=False, server_default=sa.text("'{}'")))
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("attribute_pages", "marks", server_default=None)
    _mark_pages()
    for table, column in _INDEXED:
        op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    for table, column in _INDEXED:
        op.drop_index(f"ix_{table}_{column}", table_name=table)
    op.drop_column("attribute_pages", "marks")


def _mark_pages() -> None:
    bind = op.get_bind()
    pages = sa.table("attribute_pages", sa.column("digest"), sa.column("entries", _JSON), sa.column("marks", _JSON))
    entries = sa.table("attribute_entries", sa.column("digest"), sa.column("lines", _JSON), sa.column("flags", _JSON))
    for digest in list(bind.scalars(sa.select(pages.c.digest))):
        digests = bind.scalar(sa.select(pages.c.entries).where(pages.c.digest == digest)) or []
        rows = bind.execute(sa.select(entries).where(entries.c.digest.in_([entry for entry in digests if entry])))
        contents = {row.digest: (row.lines, row.flags) for row in rows}
        bind.execute(sa.update(pages).where(pages.c.digest == digest).values(marks=_marks(digests, contents)))


def _marks(page: Sequence[str | None], contents: Mapping[str, tuple[Any, Any]]) -> dict[str, list[int]]:
    marks: dict[str, list[int]] = {}
    for offset, digest in enumerate(page):
        for mark in sorted(set(_entry_marks(*contents[digest]))) if digest else ["undescribed"]:
            marks.setdefault(mark, []).append(offset)
    return marks


def _entry_marks(lines: Any, flags: Any) -> Iterator[str]:
    for line in lines:
        yield f"origin:{line['origin']}"
        if line.get("locked"):
            yield "locked"
    for flag in flags:
        yield f"flag:{flag}"
