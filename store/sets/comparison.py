"""The differences between two attribute sets, label by label.

Sets of one vocabulary are compared page by page; pages with equal digests are not read. Sets of different vocabularies
are compared by label and sense. Entries with equal digests are equal in both cases.
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
_LABELS_AT_ONCE = _PAGES_AT_ONCE * PAGE_SIZE


@dataclass(frozen=True)
class Difference:
    """A label with different entries in the two sets. `at` is its index in the comparison, for paging. `position` and
    `other_position` are its positions in the two vocabularies; None if the vocabulary lacks the label."""

    at: int
    label: Label
    position: int | None
    other_position: int | None
    entry: AttributeEntry | None
    other_entry: AttributeEntry | None


@dataclass(frozen=True)
class _DigestPair:
    at: int
    position: int | None
    other_position: int | None
    digest: str | None
    other_digest: str | None


def differences(
    tx: Session, one: AttributeSet, other: AttributeSet, *, start: int, limit: int
) -> tuple[list[Difference], bool]:
    """Up to `limit` labels with different entries, from index `start` on; and whether there are more.

    Labels are in the order of the vocabulary of `one`, followed by the labels that only the other vocabulary has.
    """
    compare = _same_vocabulary if one.vocabulary_id == other.vocabulary_id else _different_vocabularies
    found = list(islice(compare(tx, one, other, start), limit + 1))
    more, found = len(found) > limit, found[:limit]
    labels = _labels(tx, one.vocabulary_id, [pair.position for pair in found])
    other_labels = _labels(tx, other.vocabulary_id, [p.other_position for p in found if p.position is None])
    entries = attribute_sets.by_digest(tx, [pair.digest for pair in found] + [pair.other_digest for pair in found])
    return [
        Difference(
            pair.at,
            other_labels[pair.other_position or 0] if pair.position is None else labels[pair.position],
            pair.position,
            pair.other_position,
            entries.get(pair.digest or ""),
            entries.get(pair.other_digest or ""),
        )
        for pair in found
    ], more


def _labels(tx: Session, vocabulary_id: str, positions: Sequence[int | None]) -> Mapping[int, Label]:
    wanted = [position for position in positions if position is not None]
    query = select(Label).where(Label.vocabulary_id == vocabulary_id, Label.position.in_(wanted))
    return {label.position: label for label in tx.scalars(query)}


def _same_vocabulary(tx: Session, one: AttributeSet, other: AttributeSet, start: int) -> Iterator[_DigestPair]:
    page, other_page = aliased(AttributeSetPage), aliased(AttributeSetPage)
    query = (
        select(page.page)
        .join(other_page, other_page.page == page.page)
        .where(page.set_id == one.id, other_page.set_id == other.id, page.digest != other_page.digest)
        .where(page.page >= start // PAGE_SIZE)
        .order_by(page.page)
    )
    pages = list(tx.scalars(query))
    for first in range(0, len(pages), _PAGES_AT_ONCE):
        numbers = pages[first : first + _PAGES_AT_ONCE]
        on_pages = [at for page in numbers for at in range(page * PAGE_SIZE, (page + 1) * PAGE_SIZE) if at >= start]
        digests, others = (attribute_sets.digests_at(tx, id, on_pages) for id in (one.id, other.id))
        for at in on_pages:
            if digests.get(at) != others.get(at):
                yield _DigestPair(at, at, at, digests.get(at), others.get(at))


def _different_vocabularies(tx: Session, one: AttributeSet, other: AttributeSet, start: int) -> Iterator[_DigestPair]:
    yield from _labels_of_one(tx, one, other, start)
    yield from _labels_of_other_only(tx, one, other, max(0, start - one.num_labels))


def _labels_of_one(tx: Session, one: AttributeSet, other: AttributeSet, start: int) -> Iterator[_DigestPair]:
    """Labels of `one` with another entry in `other`, or without a counterpart there."""
    for first in range(start, one.num_labels, _LABELS_AT_ONCE):
        stop = min(first + _LABELS_AT_ONCE, one.num_labels)
        counterparts = _counterparts(tx, one.vocabulary_id, other.vocabulary_id, first, stop)
        digests = attribute_sets.digests_at(tx, one.id, range(first, stop))
        other_digests = attribute_sets.digests_at(tx, other.id, [at for at in counterparts if at is not None])
        for at, other_at in enumerate(counterparts, first):
            digest, other_digest = digests.get(at), None if other_at is None else other_digests.get(other_at)
            if digest != other_digest or other_at is None:
                yield _DigestPair(at, at, other_at, digest, other_digest)


def _labels_of_other_only(tx: Session, one: AttributeSet, other: AttributeSet, start: int) -> Iterator[_DigestPair]:
    """Labels of `other`, from its position `start` on, that the vocabulary of `one` lacks."""
    for first in range(start, other.num_labels, _LABELS_AT_ONCE):
        stop = min(first + _LABELS_AT_ONCE, other.num_labels)
        counterparts = _counterparts(tx, other.vocabulary_id, one.vocabulary_id, first, stop)
        unmatched = [at for at, counterpart in enumerate(counterparts, first) if counterpart is None]
        digests = attribute_sets.digests_at(tx, other.id, unmatched)
        for at in unmatched:
            yield _DigestPair(one.num_labels + at, None, at, None, digests.get(at))


def _counterparts(tx: Session, vocabulary_id: str, other_id: str, start: int, stop: int) -> list[int | None]:
    """The positions in vocabulary `other_id` of the labels at start ≤ position < stop; None if it lacks the label."""
    label, counterpart = aliased(Label), aliased(Label)
    query = (
        select(counterpart.position)
        .select_from(label)
        .join(counterpart, (counterpart.folded == label.folded) & (counterpart.vocabulary_id == other_id), isouter=True)
        .where(label.vocabulary_id == vocabulary_id, label.position >= start, label.position < stop)
        .order_by(label.position)
    )
    return list(tx.scalars(query))
