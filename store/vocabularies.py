"""Vocabularies: ordered, immutable lists of labels."""

import hashlib
import json
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from store.errors import Culprit, NotFound, Refused
from store.ids import new_id
from store.models import Label, Vocabulary

MAX_LABELS = 100_000
MAX_LABEL_CHARS = 200
MAX_SENSE_CHARS = 500
MAX_CULPRITS = 20


@dataclass(frozen=True)
class NewLabel:
    """A label as asked for: its name, and what tells it from another of that name."""

    name: str
    sense: str | None = None


def checked(labels: Sequence[NewLabel]) -> list[NewLabel]:
    """The labels, trimmed and in Unicode's NFC form, or `Refused` with a pointer to each of the first culprits."""
    if not labels:
        raise Refused("vocabulary_empty", "a vocabulary needs at least one label", [Culprit("/labels", "is empty")])
    if len(labels) > MAX_LABELS:
        detail = f"has {len(labels):,} labels; at most {MAX_LABELS:,} fit in one vocabulary"
        raise Refused("vocabulary_too_large", f"the vocabulary {detail}", [Culprit("/labels", detail)])
    clean: list[NewLabel] = []
    culprits: list[Culprit] = []
    seen: dict[tuple[str, str], int] = {}
    for position, label in enumerate(labels):
        name = _tidy(label.name)
        sense = _tidy(label.sense) if label.sense else None
        pointer = f"/labels/{position}"
        if fault := _fault(name, MAX_LABEL_CHARS):
            culprits.append(Culprit(f"{pointer}/name", fault))
        elif sense and (fault := _fault(sense, MAX_SENSE_CHARS)):
            culprits.append(Culprit(f"{pointer}/sense", fault))
        else:
            first = seen.setdefault((name.casefold(), (sense or "").casefold()), position)
            if first != position:
                detail = f'label {position} "{name}" is also label {first}; give each a sense'
                culprits.append(Culprit(f"{pointer}/name", detail))
        clean.append(NewLabel(name, sense or None))
        if len(culprits) == MAX_CULPRITS:
            break
    if not culprits:
        culprits = _without_sense(clean)
    if culprits:
        raise Refused("label_invalid", culprits[0].detail, culprits)
    return clean


def _without_sense(labels: Sequence[NewLabel]) -> list[Culprit]:
    """Labels that share their name with another and do not say which of the two they are."""
    by_name: dict[str, list[int]] = {}
    for position, label in enumerate(labels):
        by_name.setdefault(label.name.casefold(), []).append(position)
    culprits = []
    for positions in by_name.values():
        bare = [position for position in positions if not labels[position].sense]
        if len(positions) > 1 and bare:
            other = next(position for position in positions if position != bare[0])
            detail = f'label {bare[0]} "{labels[bare[0]].name}" is also label {other}; give each a sense'
            culprits.append(Culprit(f"/labels/{bare[0]}/sense", detail))
    return culprits[:MAX_CULPRITS]


def folded_of(name: str, sense: str | None) -> str:
    """What a search for a label looks through, and what two labels that are the same share: name and sense, no case."""
    return f"{name}\n{sense}".casefold() if sense else name.casefold()


def _tidy(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _fault(text: str, max_chars: int) -> str | None:
    if not text:
        return "is blank"
    if len(text) > max_chars:
        return f"has {len(text)} characters; at most {max_chars} are allowed"
    if not text.isprintable() and (odd := [c for c in text if _is_control(c)]):
        return f"has a control character (U+{ord(odd[0]):04X})"
    return None


def _is_control(character: str) -> bool:
    """Controls, invisible marks, lone surrogates, line separators; but not the joiners that some scripts need."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in "\u200c\u200d"


def create(tx: Session, *, name: str, domain: str, labels: Sequence[NewLabel]) -> Vocabulary:
    """Check the labels and keep them as a new vocabulary."""
    clean = checked(labels)
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


# One statement with two arrays: with a row of parameters for each label it takes five times as long.
_POSTGRES_INSERT = text(
    "insert into labels (vocabulary_id, position, name, sense, folded) "
    "select :vocabulary_id, n - 1, name, sense, folded from unnest(cast(:names as text[]), cast(:senses as text[]), "
    "cast(:folded as text[])) with ordinality as given(name, sense, folded, n)"
)


def _insert(tx: Session, vocabulary_id: str, labels: Sequence[NewLabel]) -> None:
    if tx.get_bind().dialect.name == "postgresql":
        names, senses = [label.name for label in labels], [label.sense for label in labels]
        folded = [folded_of(label.name, label.sense) for label in labels]
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
                    "position": at,
                    "name": one.name,
                    "sense": one.sense,
                    "folded": folded_of(one.name, one.sense),
                }
                for at, one in rows
            ],
        )


def get(tx: Session, vocabulary_id: str) -> Vocabulary:
    """The vocabulary, or `NotFound`."""
    vocabulary = tx.get(Vocabulary, vocabulary_id)
    if vocabulary is None:
        raise NotFound("vocabulary", vocabulary_id)
    return vocabulary


def labels(tx: Session, vocabulary_id: str, *, start: int = 0, stop: int | None = None) -> list[Label]:
    """The labels at positions start ≤ p < stop; by key range, so the last page costs what the first does."""
    query = select(Label).where(Label.vocabulary_id == vocabulary_id, Label.position >= start)
    if stop is not None:
        query = query.where(Label.position < stop)
    return list(tx.scalars(query.order_by(Label.position)))


def labels_at(tx: Session, vocabulary_id: str, at: Sequence[int]) -> list[Label]:
    """The labels at these positions, in order."""
    query = select(Label).where(Label.vocabulary_id == vocabulary_id, Label.position.in_(at))
    return list(tx.scalars(query.order_by(Label.position)))


def places(tx: Session, vocabulary_id: str, folded: Sequence[str]) -> dict[str, int]:
    """Folded label (`folded_of`) → its position, of those that the vocabulary has."""
    query = select(Label.folded, Label.position)
    rows = tx.execute(query.where(Label.vocabulary_id == vocabulary_id, Label.folded.in_(folded)))
    return {name: position for name, position in rows}


def positions(tx: Session, vocabulary_id: str, names: Sequence[str]) -> dict[str, list[int]]:
    """Where each of the names stands (compared without case); several positions where senses differ."""
    wanted = {name.casefold() for name in names}
    rows = tx.execute(
        select(Label.name, Label.position)
        .where(Label.vocabulary_id == vocabulary_id, func.length(Label.name) > 0)
        .order_by(Label.position)
    )
    found: dict[str, list[int]] = {}
    for name, position in rows:
        if name.casefold() in wanted:
            found.setdefault(name.casefold(), []).append(position)
    return found
