"""Generates the species and writes `species.json`: `python -m examples.fieldguide.species`.

There are three disjoint groups. Any two species differ in at least three attributes, also across groups. Within a group
the values of each attribute are about equally frequent. Nearly half of the names contain a true hint (a colour, a
tail, …); the other names contain none. The file is committed and frozen: run this only to create a different dataset.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Protocol

from examples.fieldguide.language import (
    ATTRIBUTES,
    COLOURS,
    NO_COLOUR,
    Attributes,
    is_valid,
    key_phrases,
    name_with_hints,
    nonsense_word,
    possible_hints,
    sentence,
)

SEED = 20261123
GROUP_SIZES = {"train": 80, "validation": 40, "test": 40}
HINTED_SHARE = 0.47
MIN_DIFFERENCES = 3
# Invented words must not contain these, because they would hint at an attribute.
_HINTS = ("red", "blue", "pink", "tail", "horn", "wing", "ear", "spot", "long", "tall", "fan", "leg", "eye", "beak")
SPECIES_FILE = Path(__file__).with_name("species.json")


def num_differences(a: Attributes, b: Attributes) -> int:
    """The number of attributes in which two creatures differ."""
    return sum(a[key] != b[key] for key in ATTRIBUTES)


def _balanced(rng: Random, values: Iterable[str], count: int) -> list[str]:
    """`count` values in random order, each about equally often."""
    pool = list(values)
    balanced: list[str] = []
    while len(balanced) < count:
        rng.shuffle(pool)
        balanced += pool
    balanced = balanced[:count]
    rng.shuffle(balanced)
    return balanced


def _group(rng: Random, count: int, existing: list[Attributes]) -> list[Attributes]:
    """`count` creatures with balanced attribute values that differ enough from each other and from `existing`."""
    columns = {key: _balanced(rng, values, count) for key, values in ATTRIBUTES.items() if key != "pattern_colour"}
    made: list[Attributes] = []
    colours = _balanced(rng, COLOURS, count)
    for i in range(count):
        while True:
            sampled = {key: columns[key][i] if key in columns else NO_COLOUR for key in ATTRIBUTES}
            if sampled["pattern"] != "plain":
                sampled["pattern_colour"] = colours[i]
            others = [*existing, *made]
            if is_valid(sampled) and all(num_differences(sampled, other) >= MIN_DIFFERENCES for other in others):
                break
            # Conflict: swap one value or the pattern colour with a later creature, and check again.
            other = rng.randrange(count)
            if other >= i:
                key = rng.choice([*columns, "pattern_colour"])
                column = colours if key == "pattern_colour" else columns[key]
                column[i], column[other] = column[other], column[i]
            colours[i] = rng.choice(COLOURS) if rng.random() < 0.5 else colours[i]
        made.append(sampled)
    return made


class _Encoder(Protocol):
    """The part of open_clip's tokenizer that is used here."""

    def encode(self, text: str) -> list[int]: ...


@cache
def _tokenizer() -> _Encoder:
    from open_clip.tokenizer import SimpleTokenizer  # imported here because it imports torch

    tokenizer: _Encoder = SimpleTokenizer()
    return tokenizer


def _has_meaning(word: str) -> bool:
    """Whether the word is a single token of CLIP (an English word or a real name) or contains a hint."""
    return len(_tokenizer().encode(word)) < 2 or any(hint in word for hint in _HINTS)


def _name(rng: Random, attributes: Attributes, *, hinted: bool, used: set[str]) -> str:
    while True:
        if hinted:
            possible = [key for key in possible_hints(attributes) if key != "colour"]
            other = rng.sample(possible, k=min(1, len(possible)))
            draw = rng.random()
            hints = ["colour"] if draw < 0.4 else [*other, "colour"] if draw < 0.85 else other or ["colour"]
            name = name_with_hints(rng, attributes, hints)
        else:
            name = nonsense_word(rng) + (f" {nonsense_word(rng)}" if rng.random() < 0.25 else "")
        invented = {word.lower() for word in (name.split()[-1:] if hinted else name.split())}
        if all(4 <= len(word) <= 9 and word not in used and not _has_meaning(word) for word in invented):
            used |= invented
            return name


def make_species(seed: int = SEED) -> list[dict[str, object]]:
    """The records of `species.json`."""
    # Attributes and names have separate random generators, so that names can change without changing the creatures.
    rng, name_rng = Random(f"looks {seed}"), Random(f"names {seed}")
    records: list[dict[str, object]] = []
    existing: list[Attributes] = []
    used: set[str] = set()
    for group, count in GROUP_SIZES.items():
        made = _group(rng, count, existing)
        existing += made
        num_hinted = round(count * HINTED_SHARE)
        is_hinted = [True] * num_hinted + [False] * (count - num_hinted)
        name_rng.shuffle(is_hinted)
        for attributes, hinted in zip(made, is_hinted, strict=True):
            records.append(
                {
                    "name": _name(name_rng, attributes, hinted=hinted, used=used),
                    "group": group,
                    "attributes": attributes,
                    "sentence": sentence(rng, attributes),
                    "phrases": key_phrases(rng, attributes),
                }
            )
    return records


def main() -> None:
    records = make_species()
    SPECIES_FILE.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    print(f"{len(records)} species written to {SPECIES_FILE.name}")


if __name__ == "__main__":
    main()
