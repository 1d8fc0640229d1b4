"""What two attribute sets say differently, label by label.

Sets of one vocabulary are compared page by page: pages of one digest are the same and are not read. Sets of different
vocabularies are compared by label and sense; entries of one digest are the same there, too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import select
from sqlalchemy.orm import Session, aliased

from store.models import AttributeEntry, AttributeSet, AttributeSetPage, Label
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE

_PAGES_AT_ONCE = 8


@dataclass(frozen=True)
class Difference:
    """A label of which the two sets keep different entries. `at` is its place in the comparison, where a later page of
    it begins; `position` and `other_position` are those in the sets' vocabularies, None where one lacks the label."""

    at: int
    label: Label
    position: int | None
    other_position: int | None
    entry: AttributeEntry | None
    other_entry: AttributeEntry | None


@dataclass(frozen=True)
class _Place:
    at: int
    position: int | None
    other_position: int | None
    digest: str | None
    other_digest: str | None


def differences(
    tx: Session, one: AttributeSet, other: AttributeSet, *, start: int, limit: int
) -> tuple[list[Difference], bool]:
    """Up to `limit` labels, from place `start` on, that the two have different entries of; and whether there are more.

    Labels come in the order of `one`'s vocabulary, then those that only the other's has.
    """
    same = one.vocabulary_id == other.vocabulary_id
    places = (_same_vocabulary if same else _other_vocabulary)(tx, one, other, start)
    found = list(islice(places, limit + 1))
    more, found = len(found) > limit, found[:limit]
    names = _labels(tx, one.vocabulary_id, [place.position for place in found])
    other_names = _labels(tx, other.vocabulary_id, [p.other_position for p in found if p.position is None])
    entries = attribute_sets.by_digest(tx, [place.digest for place in found] + [place.other_digest for place in found])
    return [
        Difference(
            place.at,
            other_names[place.other_position or 0] if place.position is None else names[place.position],
            place.position,
            place.other_position,
            entries.get(place.digest or ""),
            entries.get(place.other_digest or ""),
        )
        for place in found
    ], more


def _labels(tx: Session, vocabulary_id: str, positions: Sequence[int | None]) -> Mapping[int, Label]:
    wanted = [position for position in positions if position is not None]
    query = select(Label).where(Label.vocabulary_id == vocabulary_id, Label.position.in_(wanted))
    return {label.position: label for label in tx.scalars(query)}


def _same_vocabulary(tx: Session, one: AttributeSet, other: AttributeSet, start: int) -> Iterator[_Place]:
    mine, theirs = aliased(AttributeSetPage), aliased(AttributeSetPage)
    query = (
        select(mine.page)
        .join(theirs, theirs.page == mine.page)
        .where(mine.set_id == one.id, theirs.set_id == other.id, mine.digest != theirs.digest)
        .where(mine.page >= start // PAGE_SIZE)
        .order_by(mine.page)
    )
    pages = list(tx.scalars(query))
    for first in range(0, len(pages), _PAGES_AT_ONCE):
        numbers = pages[first : first + _PAGES_AT_ONCE]
        places = [at for number in numbers for at in range(number * PAGE_SIZE, (number + 1) * PAGE_SIZE) if at >= start]
        digests, others = (attribute_sets.digests_at(tx, id, places) for id in (one.id, other.id))
        for at in places:
            if digests.get(at) != others.get(at):
                yield _Place(at, at, at, digests.get(at), others.get(at))


def _other_vocabulary(tx: Session, one: AttributeSet, other: AttributeSet, start: int) -> Iterator[_Place]:
    step = _PAGES_AT_ONCE * PAGE_SIZE
    for first in range(start, one.num_labels, step):
        stop = min(first + step, one.num_labels)
        counterparts = _counterparts(tx, one.vocabulary_id, other.vocabulary_id, first, stop)
        digests = attribute_sets.digests_at(tx, one.id, range(first, stop))
        other_digests = attribute_sets.digests_at(tx, other.id, [at for at in counterparts if at is not None])
        for at, other_at in enumerate(counterparts, first):
            digest, other_digest = digests.get(at), None if other_at is None else other_digests.get(other_at)
            if digest != other_digest or other_at is None:
                yield _Place(at, at, other_at, digest, other_digest)
    for first in range(max(0, start - one.num_labels), other.num_labels, step):
        stop = min(first + step, other.num_labels)
        counterparts = _counterparts(tx, other.vocabulary_id, one.vocabulary_id, first, stop)
        lone = [at for at, mine in enumerate(counterparts, first) if mine is None]
        digests = attribute_sets.digests_at(tx, other.id, lone)
        for at in lone:
            yield _Place(one.num_labels + at, None, at, None, digests.get(at))


def _counterparts(tx: Session, vocabulary_id: str, other_id: str, start: int, stop: int) -> list[int | None]:
    """Where the labels at start ≤ p < stop of a vocabulary stand in another, None for those that it lacks."""
    mine, theirs = aliased(Label), aliased(Label)
    query = (
        select(theirs.position)
        .select_from(mine)
        .join(theirs, (theirs.folded == mine.folded) & (theirs.vocabulary_id == other_id), isouter=True)
        .where(mine.vocabulary_id == vocabulary_id, mine.position >= start, mine.position < stop)
        .order_by(mine.position)
    )
    return list(tx.scalars(query))
