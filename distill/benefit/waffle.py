"""Controls: as many texts as a label has phrases, that say nothing of it, or say what is true of another label.

`waffle_phrases` follows WaffleCLIP (arXiv:2306.07282): random words in one half of the texts, random letters in the other.
`shuffle_phrases` gives each label the phrases of another one: words of the same kind and number, and wrong.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill.data.counter_rng import random_words, uniform
from distill.data.counter_rng import shuffle_phrases as shuffled_rows
from distill.texts.text_templates import LabelAttributes

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Common words that describe no look, so that chance does not describe a label by them.
WORDS = Path(__file__).with_name("waffle_words.txt").read_text(encoding="utf-8").split()


def waffle_phrases(said: Sequence[LabelAttributes], seed: int) -> list[LabelAttributes]:
    """For each label as many phrases as it has, each of two random words or two random strings of letters."""
    return [
        LabelAttributes(phrases=tuple(_phrase(seed, label, at) for at in range(len(own.phrases))))
        for label, own in enumerate(said)
    ]


def shuffle_phrases(said: Sequence[LabelAttributes], seed: int) -> list[LabelAttributes]:
    """For each label the phrases of another; a single label keeps its own."""
    order = shuffled_rows(np.arange(len(said)), seed, 7)
    given = list(said)
    for place, label in enumerate(order.tolist()):
        other = said[int(order[(place + 1) % len(order)])]
        given[label] = LabelAttributes(phrases=other.phrases)
    return given


def _phrase(seed: int, label: int, at: int) -> str:
    if at % 2 == 0:
        chosen = (uniform(seed, label, at, np.arange(2)) * len(WORDS)).astype(int)
        return " ".join(WORDS[one] for one in chosen)
    return " ".join(_letters(seed, label, at, which) for which in range(2))


def _letters(seed: int, label: int, at: int, which: int) -> str:
    length = 4 + int(random_words(seed, label, at, which, 100) % np.uint64(6))
    chosen = (uniform(seed, label, at, which, np.arange(length)) * len(LETTERS)).astype(int)
    return "".join(LETTERS[one] for one in chosen)
