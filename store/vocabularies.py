"""Vocabularies: ordered, immutable lists of labels."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from limbeck.shared.labels import (
    domain_fault,
    duplicates,
    label_key,
    missing_senses,
    name_fault,
    normalize,
    sense_fault,
)
from store.errors import InvalidField, InvalidRequest, NotFound
from store.ids import new_id
from store.models import Label, Vocabulary
from store.unique_rows import put_unique

MAX_LABELS = 100_000
MAX_INVALID_FIELDS = 20


@dataclass(frozen=True)
class NewLabel:
    """A label of a new vocabulary: its name, and a sense that distinguishes it from other labels of that name.

    `ids`: its identifiers and aliases in the label file.
    """

    name: str
    sense: str | None = None
    ids: dict[str, str | list[str]] | None = field(default=None, hash=False)


def validate_labels(labels: Sequence[NewLabel]) -> list[NewLabel]:
    """The labels, trimmed and in Unicode NFC. Raises `InvalidRequest` that lists the first invalid fields."""
    if not labels:
        raise InvalidRequest(
            "vocabulary_empty", "a vocabulary needs at least one label", [InvalidField("/labels", "is empty")]
        )
    if len(labels) > MAX_LABELS:
        detail = f"has {len(labels):,} labels; at most {MAX_LABELS:,} fit in one vocabulary"
        raise InvalidRequest("vocabulary_too_large", f"the vocabulary {detail}", [InvalidField("/labels", detail)])
    clean = [
        NewLabel(normalize(label.name), normalize(label.sense or "") or None, label.ids or None) for label in labels
    ]
    invalid_fields = list(islice(_invalid_fields(clean), MAX_INVALID_FIELDS))
    if invalid_fields:
        raise InvalidRequest("label_invalid", invalid_fields[0].detail, invalid_fields)
    return clean


def _invalid_fields(labels: Sequence[NewLabel]) -> Iterator[InvalidField]:
    """Invalid labels and repeated ones in order; or, if there are none, labels that need a sense."""
    pairs = [(label.name, label.sense) for label in labels]
    first_of = dict(duplicates(pairs))
    is_valid = True
    for position, (name, sense) in enumerate(pairs):
        if fault := name_fault(name):
            yield InvalidField(f"/labels/{position}/name", fault)
        elif fault := sense_fault(sense):
            yield InvalidField(f"/labels/{position}/sense", fault)
        elif position in first_of:
            yield InvalidField(f"/labels/{position}/name", _needs_sense(labels, position, first_of[position]))
        else:
            continue
        is_valid = False
    if is_valid:
        for position, other in missing_senses(pairs):
            yield InvalidField(f"/labels/{position}/sense", _needs_sense(labels, position, other))


def _needs_sense(labels: Sequence[NewLabel], position: int, other: int) -> str:
    return f'label {position} "{labels[position].name}" is also label {other}; give each a sense'


def fold_label(name: str, sense: str | None) -> str:
    """The value of `labels.folded`: the label without case, used for search and to compare labels of vocabularies."""
    folded_name, folded_sense = label_key(name, sense)
    return f"{folded_name}\n{folded_sense}" if folded_sense else folded_name


def create(tx: Session, *, name: str, domain: str, labels: Sequence[NewLabel], owner: str | None = None) -> Vocabulary:
    """The vocabulary with this domain and these labels; as `put`."""
    return put(tx, name=name, domain=domain, labels=labels, owner=owner)[0]


def put(
    tx: Session, *, name: str, domain: str, labels: Sequence[NewLabel], owner: str | None = None
) -> tuple[Vocabulary, bool]:
    """The vocabulary with this domain and these labels, and whether it is new. Raises `InvalidRequest`.

    A stored one with the same domain, names, senses and identifiers is reused, whatever its name and its owner are. Two
    transactions that store the same one at the same time get the same row.
    """
    domain = normalize(domain)
    if fault := domain_fault(domain):
        raise InvalidRequest("domain_invalid", f"the domain {fault}", [InvalidField("/domain", fault)])
    clean = validate_labels(labels)
    new = Vocabulary(
        id=new_id("voc"),
        owner=owner,
        name=name,
        domain=domain,
        digest=_sha256([domain, [[label.name, label.sense] for label in clean]]),
        inputs_digest=_sha256([domain, [[label.name, label.sense, label.ids] for label in clean]]),
        num_labels=len(clean),
        created_at=time.time(),
    )
    row = put_unique(tx, new)
    is_new = row.id == new.id
    if is_new:
        _insert(tx, row.id, clean)
    return row, is_new


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()


# One statement with four arrays: one parameter set per label would take five times as long.
_POSTGRES_INSERT = text(
    "insert into labels (vocabulary_id, position, name, sense, folded, ids) "
    "select :vocabulary_id, n - 1, name, sense, folded, cast(ids as jsonb) from unnest(cast(:names as text[]), "
    "cast(:senses as text[]), cast(:folded as text[]), cast(:ids as text[])) "
    "with ordinality as given(name, sense, folded, ids, n)"
)


def _insert(tx: Session, vocabulary_id: str, labels: Sequence[NewLabel]) -> None:
    if tx.get_bind().dialect.name == "postgresql":
        names, senses = [label.name for label in labels], [label.sense for label in labels]
        folded = [fold_label(label.name, label.sense) for label in labels]
        ids = [json.dumps(label.ids) if label.ids else None for label in labels]
        given = {"vocabulary_id": vocabulary_id, "names": names, "senses": senses, "folded": folded, "ids": ids}
        tx.execute(_POSTGRES_INSERT, given)
        return
    for start in range(0, len(labels), 10_000):
        rows = enumerate(labels[start : start + 10_000], start)
        tx.execute(
            insert(Label),
            [
                {
                    "vocabulary_id": vocabulary_id,
                    "position": position,
                    "name": label.name,
                    "sense": label.sense,
                    "folded": fold_label(label.name, label.sense),
                    "ids": label.ids,
                }
                for position, label in rows
            ],
        )


def get(tx: Session, vocabulary_id: str) -> Vocabulary:
    """The vocabulary, or `NotFound`."""
    vocabulary = tx.get(Vocabulary, vocabulary_id)
    if vocabulary is None:
        raise NotFound("vocabulary", vocabulary_id)
    return vocabulary


def labels(tx: Session, vocabulary_id: str, *, start: int = 0, stop: int | None = None) -> list[Label]:
    """The labels at start ≤ position < stop, read by key range: the last page costs as much as the first."""
    query = select(Label).where(Label.vocabulary_id == vocabulary_id, Label.position >= start)
    if stop is not None:
        query = query.where(Label.position < stop)
    return list(tx.scalars(query.order_by(Label.position)))


def label_rows(tx: Session, vocabulary_id: str) -> list[tuple[str, str | None, dict[str, str | list[str]] | None]]:
    """The name, sense and identifiers of each label, in order."""
    query = select(Label.name, Label.sense, Label.ids).where(Label.vocabulary_id == vocabulary_id)
    return [(name, sense, ids) for name, sense, ids in tx.execute(query.order_by(Label.position))]


def labels_at(tx: Session, vocabulary_id: str, positions: Sequence[int]) -> list[Label]:
    """The labels at these positions, sorted by position."""
    query = select(Label).where(Label.vocabulary_id == vocabulary_id, Label.position.in_(positions))
    return list(tx.scalars(query.order_by(Label.position)))


def positions_by_folded_label(tx: Session, vocabulary_id: str, folded: Sequence[str]) -> dict[str, int]:
    """Folded label (`fold_label`) → its position. Labels that the vocabulary lacks are omitted."""
    query = select(Label.folded, Label.position)
    rows = tx.execute(query.where(Label.vocabulary_id == vocabulary_id, Label.folded.in_(folded)))
    return {name: position for name, position in rows}
