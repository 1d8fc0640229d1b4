"""Makes up the species and writes `species.json`: `python -m examples.fieldguide.species`.

Three disjoint groups. Any two species differ in at least three attributes, whichever their groups; within a group
each attribute takes all its values about equally often. Nearly half of the names say something true (a colour, a
tail, …), the rest tell nothing. The file is committed and frozen: run this only to make another world.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from examples.fieldguide.language import (
    ATTRIBUTES,
    COLOURS,
    NO_COLOUR,
    Attributes,
    key_phrases,
    legal,
    name_with_hints,
    nonsense_word,
    possible_hints,
    sentence,
)

SEED = 20261123
GROUP_SIZES = {"train": 80, "validation": 40, "test": 40}
HINTED_SHARE = 0.47
FEWEST_DIFFERENCES = 3
# No invented word may seem to tell what its creature looks like.
_TELLING = ("red", "blue", "pink", "tail", "horn", "wing", "ear", "spot", "long", "tall", "fan", "leg", "eye", "beak")
SPECIES_FILE = Path(__file__).with_name("species.json")


def differences(a: Attributes, b: Attributes) -> int:
    return sum(a[key] != b[key] for key in ATTRIBUTES)


def _balanced(rng: Random, values: Iterable[str], count: int) -> list[str]:
    pool = list(values)
    dealt: list[str] = []
    while len(dealt) < count:
        rng.shuffle(pool)
        dealt += pool
    dealt = dealt[:count]
    rng.shuffle(dealt)
    return dealt


def _group(rng: Random, count: int, taken: list[Attributes]) -> list[Attributes]:
    """`count` creatures whose attribute values are dealt evenly, far enough from each other and from `taken`."""
    columns = {key: _balanced(rng, values, count) for key, values in ATTRIBUTES.items() if key != "pattern_colour"}
    made: list[Attributes] = []
    colours = _balanced(rng, COLOURS, count)
    for i in range(count):
        while True:
            drawn = {key: columns[key][i] if key in columns else NO_COLOUR for key in ATTRIBUTES}
            if drawn["pattern"] != "plain":
                drawn["pattern_colour"] = colours[i]
            others = [*taken, *made]
            if legal(drawn) and all(differences(drawn, other) >= FEWEST_DIFFERENCES for other in others):
                break
            # A clash: trade one value, or the pattern's colour, with a later creature, and look again.
            other = rng.randrange(count)
            if other >= i:
                key = rng.choice([*columns, "pattern_colour"])
                column = colours if key == "pattern_colour" else columns[key]
                column[i], column[other] = column[other], column[i]
            colours[i] = rng.choice(COLOURS) if rng.random() < 0.5 else colours[i]
        made.append(drawn)
    return made


@cache
def _tokenizer() -> Any:
    from open_clip.tokenizer import SimpleTokenizer  # imported late: it brings torch

    return SimpleTokenizer()


def _known(word: str) -> bool:
    """Is it a word of its own to CLIP's tokenizer? That keeps English words and real names out."""
    return len(_tokenizer().encode(word)) < 2 or any(known in word for known in _TELLING)


def _name(rng: Random, attributes: Attributes, *, hinted: bool, used: set[str]) -> str:
    while True:
        if hinted:
            able = [key for key in possible_hints(attributes) if key != "colour"]
            other = rng.sample(able, k=min(1, len(able)))
            draw = rng.random()
            hints = ["colour"] if draw < 0.4 else [*other, "colour"] if draw < 0.85 else other or ["colour"]
            name = name_with_hints(rng, attributes, hints)
        else:
            name = nonsense_word(rng) + (f" {nonsense_word(rng)}" if rng.random() < 0.25 else "")
        invented = {word.lower() for word in (name.split()[-1:] if hinted else name.split())}
        if all(4 <= len(word) <= 9 and word not in used and not _known(word) for word in invented):
            used |= invented
            return name


def make_species(seed: int = SEED) -> list[dict[str, object]]:
    # Looks and names come from streams of their own, so that names can change without changing the creatures.
    rng, name_rng = Random(f"looks {seed}"), Random(f"names {seed}")
    records: list[dict[str, object]] = []
    taken: list[Attributes] = []
    used: set[str] = set()
    for group, count in GROUP_SIZES.items():
        made = _group(rng, count, taken)
        taken += made
        share = round(count * HINTED_SHARE)
        flags = [True] * share + [False] * (count - share)
        name_rng.shuffle(flags)
        for attributes, flag in zip(made, flags, strict=True):
            records.append(
                {
                    "name": _name(name_rng, attributes, hinted=flag, used=used),
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
