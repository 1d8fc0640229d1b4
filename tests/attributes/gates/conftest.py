"""A set that passes every gate, and variants with violations."""

from collections.abc import Sequence

import pytest

from attributes.types import Entry, Line

LABELS = ("crane", "heron", "stork", "ibis")
_WORDS = {
    "crane": ("a red crown", "long grey legs", "drooping tail plumes"),
    "heron": ("a black eyebrow stripe", "a dagger-shaped yellow bill", "a folded s-shaped neck"),
    "stork": ("black flight feathers", "a straight orange beak", "pure white shoulders"),
    "ibis": ("a strongly decurved bill", "glossy chestnut plumage", "bare dark facial skin"),
}


def phrases(*texts: str) -> tuple[Line, ...]:
    return tuple(Line("phrase", text) for text in texts)


def entries_with(label: str = "", *more: str, instead: Sequence[str] | None = None) -> list[Entry]:
    """The good set with `more` phrases for a label, or with the phrases `instead`."""
    phrases_of = {name: list(texts) for name, texts in _WORDS.items()}
    if label:
        phrases_of[label] = [*(phrases_of[label] if instead is None else instead), *more]
    return [Entry(name, lines=phrases(*texts)) for name, texts in phrases_of.items()]


@pytest.fixture
def good() -> list[Entry]:
    return entries_with()
