"""Control phrases: as many per label as the label has phrases, without information or with wrong information.

`waffle_phrases` follows WaffleCLIP (arXiv:2306.07282): random words in one half of the phrases, random letters in the
other half. `shuffle_phrases` gives each label the phrases of another label: same kind and number, wrong content.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distill.data.counter_rng import random_words, shuffled, uniform
from distill.texts.text_templates import LabelAttributes

LETTERS = "abcdefghijklmnopqrstuvwxyz"
# Common words that describe no visible property, so that random words cannot describe a label by accident.
WORDS = Path(__file__).with_name("waffle_words.txt").read_text(encoding="utf-8").split()


def waffle_phrases(attributes: Sequence[LabelAttributes], seed: int) -> list[LabelAttributes]:
    """As many random phrases as each label has phrases; a random phrase is two words or two strings of letters."""
    return [
        LabelAttributes(phrases=tuple(_phrase(seed, label, number) for number in range(len(own.phrases))))
        for label, own in enumerate(attributes)
    ]


def shuffle_phrases(attributes: Sequence[LabelAttributes], seed: int) -> list[LabelAttributes]:
    """For each label the phrases of another label; a single label keeps its own phrases."""
    order = shuffled(np.arange(len(attributes)), seed, 7)
    swapped = list(attributes)
    for place, label in enumerate(order.tolist()):
        other = attributes[int(order[(place + 1) % len(order)])]
        swapped[label] = LabelAttributes(phrases=other.phrases)
    return swapped


def _phrase(seed: int, label: int, number: int) -> str:
    if number % 2 == 0:
        indices = (uniform(seed, label, number, np.arange(2)) * len(WORDS)).astype(int)
        return " ".join(WORDS[index] for index in indices)
    return " ".join(_letters(seed, label, number, which) for which in range(2))


def _letters(seed: int, label: int, number: int, which: int) -> str:
    length = 4 + int(random_words(seed, label, number, which, 100) % np.uint64(6))
    indices = (uniform(seed, label, number, which, np.arange(length)) * len(LETTERS)).astype(int)
    return "".join(LETTERS[index] for index in indices)
