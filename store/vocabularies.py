"""Vocabularies: ordered, immutable lists of labels."""

import hashlib
import json
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from store.errors import InvalidField, InvalidRequest, NotFound
from store.ids import new_id
from store.models import Label, Vocabulary

MAX_LABELS = 100_000
MAX_LABEL_CHARS = 200
MAX_SENSE_CHARS = 500
MAX_INVALID_FIELDS = 20


@dataclass(frozen=True)
class NewLabel:
    """A label of a new vocabulary: its name, and a sense that distinguishes it from other labels of that name."""

    name: str
    sense: str | None = None


def validate_labels(labels: Sequence[NewLabel]) -> list[NewLabel]:
    """The labels, trimmed and in Unicode NFC. Raises `InvalidRequest` that lists the first invalid fields."""
    if not labels:
        raise InvalidRequest(
            "vocabulary_empty", "a vocabulary needs at least one label", [InvalidField("/labels", "is empty")]
        )
    if len(labels) > MAX_LABELS:
        detail = f"has {len(labels):,} labels; at most {MAX_LABELS:,} fit in one vocabulary"
        raise InvalidRequest("vocabulary_too_large", f"the vocabulary {detail}", [InvalidField("/labels", detail)])
    clean: list[NewLabel] = []
    invalid_fields: list[InvalidField] = []
    seen: dict[tuple[str, str], int] = {}
    for position, label in enumerate(labels):
        name = _normalised(label.name)
        sense = _normalised(label.sense) if label.sense else None
        pointer = f"/labels/{position}"
        if fault := _text_error(name, MAX_LABEL_CHARS):
            invalid_fields.append(InvalidField(f"{pointer}/name", fault))
        elif sense and (fault := _text_error(sense, MAX_SENSE_CHARS)):
            invalid_fields.append(InvalidField(f"{pointer}/sense", fault))
        else:
            first = seen.setdefault((name.casefold(), (sense or "").casefold()), position)
            if first != position:
                detail = f'label {position} "{name}" is also label {first}; give each a sense'
                invalid_fields.append(InvalidField(f"{pointer}/name", detail))
        clean.append(NewLabel(name, sense or None))
        if len(invalid_fields) == MAX_INVALID_FIELDS:
            break
    if not invalid_fields:
        invalid_fields = _missing_senses(clean)
    if invalid_fields:
        raise InvalidRequest("label_invalid", invalid_fields[0].detail, invalid_fields)
    return clean


def _missing_senses(labels: Sequence[NewLabel]) -> list[InvalidField]:
    """Labels without a sense whose name another label shares."""
    by_name: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        by_name.setdefault(label.name.casefold(), []).append(position)
    invalid_fields = []
    for positions in by_name.values():
        missing = next((position for position in positions if not labels[position].sense), None)
        if len(positions) > 1 and missing is not None:
            other = next(position for position in positions if position != missing)
            detail = f'label {missing} "{labels[missing].name}" is also label {other}; give each a sense'
            invalid_fields.append(InvalidField(f"/labels/{missing}/sense", detail))
    return invalid_fields[:MAX_INVALID_FIELDS]


def fold_label(name: str, sense: str | None) -> str:
    """The case-folded name and sense, used for search and to compare labels of different vocabularies."""
    return f"{name}\n{sense}".casefold() if sense else name.casefold()


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _text_error(text: str, max_chars: int) -> str | None:
    if not text:
        return "is blank"
    if len(text) > max_chars:
        return f"has {len(text)} characters; at most {max_chars} are allowed"
    if not text.isprintable() and (control := [c for c in text if _is_control(c)]):
        return f"has a control character (U+{ord(control[0]):04X})"
    return None


def _is_control(character: str) -> bool:
    """Control and format characters, lone surrogates and line separators, except the joiners that some scripts need."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in "\u200c\u200d"


def create(tx: Session, *, name: str, domain: str, labels: Sequence[NewLabel]) -> Vocabulary:
    """Validate the labels and store them as a new vocabulary. Raises `InvalidRequest`."""
    clean = validate_labels(labels)
    digest = hashlib.sha256(
        json.dumps([domain, [[label.name, label.sense] for label in clean]], ensure_ascii=False).encode()
    ).hexdigest()
    vocabulary = Vocabulary(
        id=new_id("voc"), name=name, domain=domain, digest=digest, num_labels=len(clean), created_at=time.time()
    )
    tx.add(vocabulary)
    tx.flush()
    _insert(tx, vocabulary.id, clean)
    return vocabulary


# One statement with three arrays: one parameter set per label would take five times as long.
_POSTGRES_INSERT = text(
    "insert into labels (vocabulary_id, position, name, sense, folded) "
    "select :vocabulary_id, n - 1, name, sense, folded from unnest(cast(:names as text[]), cast(:senses as text[]), "
    "cast(:folded as text[])) with ordinality as given(name, sense, folded, n)"
)


def _insert(tx: Session, vocabulary_id: str, labels: Sequence[NewLabel]) -> None:
    if tx.get_bind().dialect.name == "postgresql":
        names, senses = [label.name for label in labels], [label.sense for label in labels]
        folded = [fold_label(label.name, label.sense) for label in labels]
        given = {"vocabulary_id": vocabulary_id, "names": names, "senses": senses, "folded": folded}
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


def labels_at(tx: Session, vocabulary_id: str, positions: Sequence[int]) -> list[Label]:
    """The labels at these positions, sorted by position."""
    query = select(Label).where(Label.vocabulary_id == vocabulary_id, Label.position.in_(positions))
    return list(tx.scalars(query.order_by(Label.position)))


def positions_by_folded_label(tx: Session, vocabulary_id: str, folded: Sequence[str]) -> dict[str, int]:
    """Folded label (`fold_label`) → its position. Labels that the vocabulary lacks are omitted."""
    query = select(Label.folded, Label.position)
    rows = tx.execute(query.where(Label.vocabulary_id == vocabulary_id, Label.folded.in_(folded)))
    return {name: position for name, position in rows}
