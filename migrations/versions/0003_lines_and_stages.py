"""Entries consist of lines, parts have stages, results name their question; tables for costs, drafts and more.

Stored rows are converted. Three tables change their keys or references: they are copied, created again and filled from
the copies.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), "postgresql"
)
_BATCH = 1_000
_Row = Mapping[str, Any]


def upgrade() -> None:
    for name in ("enrich_results", "llm_answers", "attribute_entries"):
        _copy_and_drop(name)
    op.create_table(
        "attribute_entries",
        _text("digest"),
        _text("label"),
        _text("sense", null=True),
        _json("lines"),
        _json("flags"),
        _pk("attribute_entries", "digest"),
    )
    _fill_from_copy("attribute_entries", _entry_with_lines)
    op.create_table(
        "llm_answers",
        _text("key"),
        _text("model"),
        _text("base_url"),
        _text("strategy"),
        _json("messages"),
        _text("answer"),
        _json("lines"),
        _json("other_lines", null=True),
        _json("flags"),
        _number("created_at"),
        _pk("llm_answers", "key"),
    )
    _fill_from_copy("llm_answers", _answer_with_lines())
    op.create_table(
        "enrich_results",
        _text("job_id"),
        _whole("step"),
        _whole("position"),
        _whole("slot"),
        _text("key", null=True),
        _whole("side"),
        _text("reason", null=True),
        _text("detail", null=True),
        _fk("enrich_results", "job_id", "jobs.id"),
        _fk("enrich_results", "key", "llm_answers.key"),
        _pk("enrich_results", "job_id", "step", "position", "slot"),
    )
    _fill_from_copy("enrich_results", _result_by_key())
    for name in ("enrich_results", "llm_answers", "attribute_entries"):
        op.execute(f"drop table before_{name}")

    _add("labels", _text("folded"), "''")
    _fold_labels()
    op.create_index("ix_labels_vocabulary_id_folded", "labels", ["vocabulary_id", "folded"])
    for column in ("num_described", "num_flagged"):
        _add("attribute_pages", _whole(column), "0")
    _count_pages()
    _add("llm_calls", _text("strategy"), "''")
    _add("llm_calls", _text("mode"), "'live'")
    op.add_column("llm_calls", sa.Column("cached_tokens", sa.Integer(), nullable=True))
    op.add_column("llm_calls", sa.Column("cost_pusd", sa.BigInteger(), nullable=True))
    _add("parts", _whole("stage"), "0")
    op.execute("update parts set stage = 1 where waits_for is not null")
    op.execute("update parts set stage = 2 where waits_for in (select id from parts where stage = 1)")
    op.drop_column("parts", "waits_for")
    _new_tables()


def downgrade() -> None:
    for name in (
        "attribute_draft_entries",
        "attribute_drafts",
        "set_reports",
        "gate_failures",
        "caption_sets",
        "llm_batches",
        "llm_forms",
        "llm_flights",
        "enrich_pages",
        "spends",
    ):
        op.drop_table(name)
    op.add_column("parts", sa.Column("waits_for", sa.Text(), nullable=True))
    op.execute(
        "update parts set waits_for = (select p.id from parts p where p.job_id = parts.job_id "
        "and p.stage = parts.stage - 1 order by p.position desc limit 1) where stage > 0"
    )
    op.drop_column("parts", "stage")
    for column in ("strategy", "mode", "cached_tokens", "cost_pusd"):
        op.drop_column("llm_calls", column)
    for column in ("num_described", "num_flagged"):
        op.drop_column("attribute_pages", column)
    op.drop_index("ix_labels_vocabulary_id_folded", "labels")
    op.drop_column("labels", "folded")

    for name in ("enrich_results", "llm_answers", "attribute_entries"):
        _copy_and_drop(name)
    op.create_table(
        "attribute_entries",
        _text("digest"),
        _text("label"),
        _text("sense", null=True),
        _text("sentence"),
        _json("phrases"),
        _text("origin"),
        _json("flags"),
        _json("provenance"),
        _pk("attribute_entries", "digest"),
    )
    _fill_from_copy("attribute_entries", _entry_without_lines)
    # The table is a cache whose rows no longer name their entry, so it stays empty: the questions are sent again.
    op.create_table(
        "llm_answers",
        _text("key"),
        _text("model"),
        _text("base_url"),
        _text("strategy"),
        _json("messages"),
        _text("answer"),
        _text("entry"),
        _number("created_at"),
        _fk("llm_answers", "entry", "attribute_entries.digest"),
        _pk("llm_answers", "key"),
    )
    op.create_table(
        "enrich_results",
        _text("job_id"),
        _whole("position"),
        _text("entry", null=True),
        _text("reason", null=True),
        _text("detail", null=True),
        _fk("enrich_results", "job_id", "jobs.id"),
        _fk("enrich_results", "entry", "attribute_entries.digest"),
        _pk("enrich_results", "job_id", "position"),
    )
    for name in ("enrich_results", "llm_answers", "attribute_entries"):
        op.execute(f"drop table before_{name}")


def _new_tables() -> None:
    op.create_table("llm_flights", _text("key"), _text("owner"), _number("expires_at"), _pk("llm_flights", "key"))
    op.create_table(
        "llm_forms",
        _text("base_url"),
        _text("model"),
        _json("form"),
        _number("updated_at"),
        _pk("llm_forms", "base_url", "model"),
    )
    op.create_table(
        "llm_batches",
        _text("id"),
        _text("job_id"),
        _text("part_id"),
        _text("server_id", null=True),
        _text("status"),
        _whole("num_requests"),
        _json("detail"),
        _number("created_at"),
        _number("ended_at", null=True),
        _fk("llm_batches", "job_id", "jobs.id"),
        _fk("llm_batches", "part_id", "parts.id"),
        _pk("llm_batches", "id"),
    )
    op.create_index("ix_llm_batches_job_id", "llm_batches", ["job_id"])
    op.create_index("ix_llm_batches_part_id", "llm_batches", ["part_id"])
    op.create_table(
        "spends",
        _text("job_id"),
        _big("cap_pusd", null=True),
        _big("cap_tokens", null=True),
        _whole("calls"),
        _big("prompt_tokens"),
        _big("completion_tokens"),
        _big("spent_pusd"),
        _whole("unpriced_calls"),
        _big("reserved_pusd"),
        _big("reserved_tokens"),
        _fk("spends", "job_id", "jobs.id"),
        _pk("spends", "job_id"),
    )
    op.create_table(
        "enrich_pages",
        _text("job_id"),
        _whole("page"),
        _text("digest"),
        _fk("enrich_pages", "digest", "attribute_pages.digest"),
        _fk("enrich_pages", "job_id", "jobs.id"),
        _pk("enrich_pages", "job_id", "page"),
    )
    op.create_table(
        "attribute_drafts",
        _text("set_id"),
        _whole("version"),
        _number("created_at"),
        _number("updated_at"),
        _fk("attribute_drafts", "set_id", "attribute_sets.id"),
        _pk("attribute_drafts", "set_id"),
    )
    op.create_table(
        "attribute_draft_entries",
        _text("set_id"),
        _whole("position"),
        _json("lines"),
        _json("flags"),
        _fk("attribute_draft_entries", "set_id", "attribute_drafts.set_id"),
        _pk("attribute_draft_entries", "set_id", "position"),
    )
    op.create_table(
        "set_reports",
        _text("set_id"),
        _text("teacher"),
        _json("figures"),
        _text("file_key"),
        _number("created_at"),
        _fk("set_reports", "set_id", "attribute_sets.id"),
        _pk("set_reports", "set_id", "teacher"),
    )
    op.create_table(
        "gate_failures",
        _text("set_id"),
        _text("gate"),
        _whole("position"),
        _fk("gate_failures", "set_id", "attribute_sets.id"),
        _pk("gate_failures", "set_id", "gate", "position"),
    )
    op.create_table(
        "caption_sets",
        _text("id"),
        _text("dataset_id"),
        _text("job_id"),
        _json("source"),
        _whole("num_images"),
        _whole("num_captioned"),
        _text("file_key"),
        _text("digest"),
        _whole("size"),
        _number("created_at"),
        _fk("caption_sets", "dataset_id", "datasets.id"),
        _fk("caption_sets", "job_id", "jobs.id"),
        _pk("caption_sets", "id"),
    )
    op.create_index("ix_caption_sets_dataset_id", "caption_sets", ["dataset_id"])


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=null)


def _json(name: str, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, _JSON, nullable=null)


def _number(name: str, *, null: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=null)


def _whole(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def _big(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=null)


def _pk(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _fk(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}_{target.split('.')[0]}"))


def _add(table: str, column: sa.Column[Any], default: str) -> None:
    """Add a NOT NULL column. On SQLite its default stays, because removing it would require a new table."""
    column.server_default = sa.DefaultClause(sa.text(default))
    op.add_column(table, column)
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column(table, column.name, server_default=None)


def _copy_and_drop(name: str) -> None:
    op.execute(f"create table before_{name} as select * from {name}")
    op.drop_table(name)


def _rows(query: str) -> Iterator[dict[str, Any]]:
    """The rows of a query, fetched in batches."""
    result = op.get_bind().execute(sa.text(query)).mappings()
    for rows in iter(lambda: result.fetchmany(_BATCH), []):
        yield from (dict(row) for row in rows)


def _fill_from_copy(name: str, convert: Callable[[_Row], _Row | None]) -> None:
    bind = op.get_bind()
    table = sa.Table(name, sa.MetaData(), autoload_with=bind)
    for column in table.columns:
        if isinstance(column.type, sa.JSON | postgresql.JSONB):
            column.type = _JSON
    batch: list[_Row] = []
    for row in list(_rows(f"select * from before_{name}")):
        if (converted := convert(row)) is not None:
            batch.append(converted)
        if len(batch) == _BATCH:
            bind.execute(sa.insert(table), batch)
            batch = []
    if batch:
        bind.execute(sa.insert(table), batch)


def _value(stored: Any) -> Any:
    """The value of a JSON column in a textual query: SQLite returns the text, Postgres the value."""
    return json.loads(stored) if isinstance(stored, str) else stored


def _lines_of(row: _Row) -> list[dict[str, Any]]:
    provenance = _value(row["provenance"])
    source = {"origin": row["origin"]}
    source |= {
        new: provenance[old] for old, new in (("strategy", "strategy"), ("answer", "call")) if provenance.get(old)
    }
    lines = [{"kind": "sentence", "text": row["sentence"], **source}] if row["sentence"] else []
    for phrase in _value(row["phrases"]):
        about = {name: phrase[name] for name in ("part", "value") if phrase.get(name)}
        lines.append({"kind": "phrase", "text": phrase["phrase"], **about, **source})
    return lines


def _entry_with_lines(row: _Row) -> _Row:
    kept = {name: row[name] for name in ("digest", "label", "sense")}
    return {**kept, "lines": _lines_of(row), "flags": _value(row["flags"])}


def _entry_without_lines(row: _Row) -> _Row:
    lines = _value(row["lines"])
    first = lines[0] if lines else {"origin": "import"}
    provenance = {old: first[new] for old, new in (("strategy", "strategy"), ("answer", "call")) if first.get(new)}
    phrases = [
        {"part": line.get("part", ""), "value": line.get("value", ""), "phrase": line["text"]}
        for line in lines
        if line["kind"] != "sentence"
    ]
    sentence = next((line["text"] for line in lines if line["kind"] == "sentence"), "")
    kept = {name: row[name] for name in ("digest", "label", "sense")}
    return {
        **kept,
        "sentence": sentence,
        "phrases": phrases,
        "origin": first["origin"],
        "flags": _value(row["flags"]),
        "provenance": provenance,
    }


def _answer_with_lines() -> Callable[[_Row], _Row | None]:
    entries = {row["digest"]: row for row in _rows("select * from before_attribute_entries")}

    def convert(row: _Row) -> _Row:
        entry = entries[row["entry"]]
        kept = {name: row[name] for name in ("key", "model", "base_url", "strategy", "answer", "created_at")}
        lines, flags = _lines_of(entry), _value(entry["flags"])
        return {**kept, "messages": _value(row["messages"]), "lines": lines, "other_lines": None, "flags": flags}

    return convert


def _result_by_key() -> Callable[[_Row], _Row | None]:
    keys = {row["entry"]: row["key"] for row in _rows("select key, entry from before_llm_answers")}

    def convert(row: _Row) -> _Row | None:
        if row["entry"] is not None and row["entry"] not in keys:
            return None
        kept = {name: row[name] for name in ("job_id", "position", "reason", "detail")}
        return {**kept, "step": 0, "slot": 0, "side": 0, "key": keys.get(row["entry"])}

    return convert


def _fold_labels() -> None:
    labels = sa.table("labels", *(sa.column(name) for name in ("vocabulary_id", "position", "folded")))
    statement = (
        sa.update(labels)
        .where(labels.c.vocabulary_id == sa.bindparam("of"), labels.c.position == sa.bindparam("at"))
        .values(folded=sa.bindparam("folded_label"))
    )
    rows = list(_rows("select vocabulary_id, position, name, sense from labels"))
    for start in range(0, len(rows), _BATCH):
        op.get_bind().execute(
            statement,
            [
                {
                    "of": row["vocabulary_id"],
                    "at": row["position"],
                    "folded_label": (f"{row['name']}\n{row['sense']}" if row["sense"] else row["name"]).casefold(),
                }
                for row in rows[start : start + _BATCH]
            ],
        )


def _count_pages() -> None:
    flagged = {row["digest"] for row in _rows("select digest, flags from attribute_entries") if _value(row["flags"])}
    pages = sa.table("attribute_pages", *(sa.column(name) for name in ("digest", "num_described", "num_flagged")))
    for row in list(_rows("select digest, entries from attribute_pages")):
        entries = [entry for entry in _value(row["entries"]) if entry]
        counts = {"num_described": len(entries), "num_flagged": sum(entry in flagged for entry in entries)}
        op.get_bind().execute(sa.update(pages).where(pages.c.digest == row["digest"]).values(**counts))
