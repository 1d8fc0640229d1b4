"""Near-duplicates: the same result as comparing all pairs, for any word frequencies."""

import random

import pytest

from attributes.gates import near_duplicates
from attributes.gates.near_duplicates import NearDuplicateFinder

THRESHOLD = 0.7


def compare_all_pairs(sets: list[set[str]]) -> dict[int, float]:
    best: dict[int, float] = {}
    for position, words in enumerate(sets):
        for other, other_words in enumerate(sets):
            if position != other and words and other_words:
                jaccard = len(words & other_words) / len(words | other_words)
                if jaccard >= THRESHOLD:
                    best[position] = max(best.get(position, 0.0), jaccard)
    return best


def find(sets: list[set[str]]) -> dict[int, float]:
    finder = NearDuplicateFinder(THRESHOLD)
    for position, words in enumerate(sets):
        finder.add(position, words)
    by_position = finder.find()
    for position, nearest in by_position.items():
        words, other_words = sets[position], sets[nearest.position]
        assert len(words & other_words) / len(words | other_words) == pytest.approx(nearest.jaccard)
    return {position: nearest.jaccard for position, nearest in by_position.items()}


@pytest.mark.parametrize("selected", [0.0, 2.0])
@pytest.mark.parametrize("scan", [0.0, 0.1, 1e9])
@pytest.mark.parametrize("num_words", [12, 40, 400])
def test_the_result_equals_comparing_all_pairs(
    monkeypatch: pytest.MonkeyPatch, num_words: int, scan: float, selected: float
) -> None:
    monkeypatch.setattr(near_duplicates, "_SCAN", scan)  # 0: always scan; 1e9: always look up
    monkeypatch.setattr(near_duplicates, "_SELECTED", selected)  # 0: always scan all lanes; 2: never
    rng = random.Random(num_words)
    words = [f"w{number}" for number in range(num_words)]
    sets = [set(rng.sample(words, rng.randint(0, min(12, num_words)))) for _ in range(120)]
    for _ in range(60):  # similar sets above and below the threshold
        near = set(rng.choice(sets))
        for word in rng.sample(words, 2):
            near ^= {word}
        sets.append(near)
    expected = compare_all_pairs(sets)
    assert len(expected) > 20
    assert find(sets) == pytest.approx(expected)


def test_equal_word_sets_are_near_duplicates_and_empty_sets_are_not() -> None:
    assert find([{"a", "b"}, {"c"}, {"b", "a"}, set(), set()]) == {0: 1.0, 2: 1.0}
    assert find([]) == {}
