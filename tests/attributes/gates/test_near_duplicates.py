"""Near-twins: exactly those that every pair compared would find, whatever the words are like."""

import random

import pytest

from attributes.gates import near_duplicates
from attributes.gates.near_duplicates import NearDuplicateFinder

THRESHOLD = 0.7


def brute(sets: list[set[str]]) -> dict[int, float]:
    best: dict[int, float] = {}
    for one, mine in enumerate(sets):
        for other, theirs in enumerate(sets):
            if one != other and mine and theirs:
                jaccard = len(mine & theirs) / len(mine | theirs)
                if jaccard >= THRESHOLD:
                    best[one] = max(best.get(one, 0.0), jaccard)
    return best


def fast(sets: list[set[str]]) -> dict[int, float]:
    found = NearDuplicateFinder(THRESHOLD)
    for position, one in enumerate(sets):
        found.add(position, one)
    by_position = found.find()
    for position, twin in by_position.items():
        assert len(sets[position] & sets[twin.position]) / len(sets[position] | sets[twin.position]) == pytest.approx(
            twin.jaccard
        )
    return {position: twin.jaccard for position, twin in by_position.items()}


@pytest.mark.parametrize("sieved", [0.0, 2.0])
@pytest.mark.parametrize("scan", [0.0, 0.1, 1e9])
@pytest.mark.parametrize("num_words", [12, 40, 400])
def test_the_same_as_comparing_every_pair(
    monkeypatch: pytest.MonkeyPatch, num_words: int, scan: float, sieved: float
) -> None:
    monkeypatch.setattr(near_duplicates, "_SCAN", scan)  # 0: always run over all; 1e9: always look up
    monkeypatch.setattr(near_duplicates, "_SELECTED", sieved)  # 0: always over all lanes; 2: never
    rng = random.Random(num_words)
    words = [f"w{number}" for number in range(num_words)]
    sets = [set(rng.sample(words, rng.randint(0, min(12, num_words)))) for _ in range(120)]
    for _ in range(60):  # near copies, of which some pass and some do not
        near = set(rng.choice(sets))
        for word in rng.sample(words, 2):
            near ^= {word}
        sets.append(near)
    expected = brute(sets)
    assert len(expected) > 20
    assert fast(sets) == pytest.approx(expected)


def test_equal_words_are_twins_and_no_words_are_not() -> None:
    assert fast([{"a", "b"}, {"c"}, {"b", "a"}, set(), set()]) == {0: 1.0, 2: 1.0}
    assert fast([]) == {}
