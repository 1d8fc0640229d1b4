"""Shared lines and attributes, compared with a count label by label."""

import random

import pytest

from attributes.gates.shared_attributes import SharingCounter
from attributes.gates.words.lemmas import Meaning
from attributes.types import Line


@pytest.mark.parametrize("kinds", [(True,), (False,), (True, False)], ids=["single", "bound", "both"])
def test_the_counts_equal_counting_label_by_label(kinds: tuple[bool, ...]) -> None:
    rng = random.Random(0)
    lines: list[tuple[int, list[Meaning]]] = []
    for position in range(200):
        for _ in range(rng.randrange(4)):
            meanings = []
            for _ in range(rng.randrange(3)):
                single = rng.choice(kinds)
                bag = rng.randrange(60)
                meanings.append(Meaning(bag, bag if single else 100 + rng.randrange(4) + 10 * bag, single))
            lines.append((position, meanings))
    counter = SharingCounter()
    for position, meanings in lines:
        counter.add(position, Line("phrase", f"text {rng.randrange(99)}"), meanings)
    found = counter.by_meaning()
    every = [(position, one) for position, meanings in lines for one in meanings]
    expected = []
    for position, one in every:
        if one.single:
            labels = {at for at, other in every if other.bag == one.bag}
            expected.append(len(labels))
        else:
            grouped = {at for at, other in every if other.chunks == one.chunks}
            by_bag = {at for at, other in every if other.single and other.bag == one.bag} - {position}
            expected.append(max(len(grouped), 1 + len(by_bag)))
    assert found.num_labels.tolist() == expected
    assert found.keys.tolist() == [one.bag if one.single else one.chunks for _, one in every]
    assert found.flags.tolist() == [count > 1 for count in expected]


def test_texts_count_once_per_label_and_lines_without_letters_are_distinct() -> None:
    counter = SharingCounter()
    for position, text in [(0, "A red bill"), (0, "a  red bill"), (1, "a red BILL"), (1, "."), (2, "."), (2, "blue")]:
        counter.add(position, Line("phrase", text), [])
    assert counter.verbatim().num_labels.tolist() == [2, 2, 2, 1, 1, 1]
    assert SharingCounter().verbatim().num_labels.tolist() == SharingCounter().by_meaning().num_labels.tolist() == []
