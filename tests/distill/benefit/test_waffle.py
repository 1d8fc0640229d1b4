"""Control phrases: their number, and that they carry no information about the label or wrong information."""

from distill.benefit.waffle import shuffle_phrases, waffle_phrases
from tests.distill.examples import ATTRIBUTES


def test_waffle_has_as_many_phrases_and_none_of_their_words() -> None:
    control = waffle_phrases(ATTRIBUTES, 0)
    assert [len(one.phrases) for one in control] == [3, 3, 3, 3]
    words = " ".join(phrase for one in control for phrase in one.phrases).split()
    assert not {"tail", "beak", "legs", "crane"} & set(words)
    assert control == waffle_phrases(ATTRIBUTES, 0) != waffle_phrases(ATTRIBUTES, 1)
    assert len({one.phrases for one in control}) == 4


def test_shuffled_phrases_are_complete_and_belong_to_another_label() -> None:
    for seed in range(5):
        control = shuffle_phrases(ATTRIBUTES, seed)
        assert sorted(one.phrases for one in control) == sorted(one.phrases for one in ATTRIBUTES)
        assert all(other.phrases != own.phrases for other, own in zip(control, ATTRIBUTES, strict=True))
