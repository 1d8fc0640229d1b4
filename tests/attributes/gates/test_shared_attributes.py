"""What labels have in common, against counting it label by label."""

import random

import pytest

from attributes.gates.lemmas import Meaning
from attributes.gates.shared_attributes import SharingCounter
from attributes.types import Line


@pytest.mark.parametrize("kinds", [(True,), (False,), (True, False)], ids=["single", "bound", "both"])
def test_the_same_as_counting_label_by_label(kinds: tuple[bool, ...]) -> None:
    draw = random.Random(0)
    said: list[tuple[int, list[Meaning]]] = []
    for position in range(200):
        for _ in range(draw.randrange(4)):
            meanings = []
            for _ in range(draw.randrange(3)):
                single = draw.choice(kinds)
                bag = draw.randrange(60)
                meanings.append(Meaning(bag, bag if single else 100 + draw.randrange(4) + 10 * bag, single))
            said.append((position, meanings))
    sharing = SharingCounter()
    for position, meanings in said:
        sharing.add(position, Line("phrase", f"text {draw.randrange(99)}"), meanings)
    found = sharing.by_meaning()
    every = [(position, one) for position, meanings in said for one in meanings]
    expected = []
    for position, one in every:
        if one.single:
            labels = {at for at, other in every if other.bag == one.bag}
            expected.append(len(labels))
        else:
            bound = {at for at, other in every if other.chunks == one.chunks}
            loose = {at for at, other in every if other.single and other.bag == one.bag} - {position}
            expected.append(max(len(bound), 1 + len(loose)))
    assert found.num_labels.tolist() == expected
    assert found.keys.tolist() == [one.bag if one.single else one.chunks for _, one in every]
    assert found.flags.tolist() == [count > 1 for count in expected]


def test_texts_count_once_a_label_and_nothing_said_is_like_nothing() -> None:
    sharing = SharingCounter()
    for position, text in [(0, "A red bill"), (0, "a  red bill"), (1, "a red BILL"), (1, "."), (2, "."), (2, "blue")]:
        sharing.add(position, Line("phrase", text), [])
    assert sharing.verbatim().num_labels.tolist() == [2, 2, 2, 1, 1, 1]
    assert SharingCounter().verbatim().num_labels.tolist() == SharingCounter().by_meaning().num_labels.tolist() == []
