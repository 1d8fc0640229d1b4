"""The parts of invented beetles, and texts that describe them.

A beetle has one value of each part. `phrase` describes one part in one of a few wordings, `sentence` the whole beetle,
`caption` some of its parts, for the training of the teacher. Every random choice uses the caller's `random.Random`.
"""

from collections.abc import Sequence
from random import Random

Beetle = dict[str, str]
"""Part -> value, for every part."""

COLOURS = ("red", "yellow", "green", "blue", "purple", "white")
MARKING_COLOURS = ("black", "cyan", "pink")

PARTS: dict[str, tuple[str, ...]] = {
    "shape": ("round", "long", "square", "pear", "heart"),
    "colour": COLOURS,
    "marking": ("spots", "stripes", "band", "ring", "cross"),
    "marking_colour": MARKING_COLOURS,
    "horns": ("none", "straight", "curved", "forked", "clubbed"),
    "legs": ("short", "long", "bent"),
    "tail": ("none", "pointed", "split", "fan"),
    "wings": ("none", "small", "large"),
}
DESCRIBED = tuple(part for part in PARTS if part != "marking_colour")
"""The parts that have a phrase; the phrase of the marking states its colour too."""

_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "shape": {
        "round": ("a round shell", "a circular shell"),
        "long": ("a long narrow shell", "a slender shell"),
        "square": ("a square shell", "a boxy shell"),
        "pear": ("a pear-shaped shell", "a shell wide at the rear"),
        "heart": ("a heart-shaped shell", "a shell wide at the front"),
    },
    "colour": {colour: (f"{colour} wing cases", f"a {colour} back") for colour in COLOURS},
    "marking": {
        "spots": ("four {c} spots", "{c} dots"),
        "stripes": ("two {c} stripes along the back", "{c} lengthwise stripes"),
        "band": ("one {c} band across", "a broad {c} belt"),
        "ring": ("a {c} ring", "a {c} circle on the back"),
        "cross": ("a {c} cross", "a {c} x on the back"),
    },
    "horns": {
        "none": ("no horns", "a bare head"),
        "straight": ("two straight horns", "a pair of spear-like horns"),
        "curved": ("two curved horns", "horns like a crescent"),
        "forked": ("one forked horn", "a horn split like a y"),
        "clubbed": ("feelers with knobs", "two clubbed feelers"),
    },
    "legs": {
        "short": ("short legs", "stubby legs"),
        "long": ("long straight legs", "long thin legs"),
        "bent": ("bent legs", "legs folded backwards"),
    },
    "tail": {
        "none": ("no tail", "a smooth end"),
        "pointed": ("a pointed tail", "a tail like a needle"),
        "split": ("a split tail", "two prongs at the end"),
        "fan": ("a fan at the tail", "a fan-shaped tail"),
    },
    "wings": {
        "none": ("no open wings", "closed wings"),
        "small": ("small open wings", "little wings at the sides"),
        "large": ("large open wings", "wide wings at the sides"),
    },
}
_ONSETS = ("b", "br", "d", "dr", "f", "g", "gr", "k", "kl", "l", "m", "n", "p", "pr", "s", "sk", "t", "tr", "v", "z")
_NUCLEI = ("a", "e", "i", "o", "u", "ai", "oo")
_ENDS = ("", "l", "n", "r", "x", "rd", "lp", "nd", "rn", "sh", "th")


def random_beetle(rng: Random) -> Beetle:
    """A beetle with each value of each part equally likely."""
    return {part: rng.choice(values) for part, values in PARTS.items()}


def nonsense_word(rng: Random) -> str:
    """An invented word of two or three syllables, capitalised."""
    syllables = [rng.choice(_ONSETS) + rng.choice(_NUCLEI) for _ in range(rng.choice((1, 2)))]
    return ("".join(syllables) + rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_ENDS)).capitalize()


def wordings(beetle: Beetle, part: str) -> tuple[str, ...]:
    """All phrases for one of the `DESCRIBED` parts."""
    return tuple(text.format(c=beetle.get("marking_colour", "")) for text in _WORDS[part][beetle[part]])


def phrase(rng: Random, beetle: Beetle, part: str) -> str:
    """A short noun phrase for one of the `DESCRIBED` parts."""
    return rng.choice(wordings(beetle, part))


def sentence(rng: Random, beetle: Beetle) -> str:
    """One sentence that describes every part, in a random order."""
    order = rng.sample(DESCRIBED, k=len(DESCRIBED))
    return f"A beetle with {joined([phrase(rng, beetle, part) for part in order])}."


def caption(rng: Random, beetle: Beetle) -> tuple[str, Beetle]:
    """A caption for the teacher, mostly after an invented name, and the values that it states."""
    parts = rng.sample(DESCRIBED, k=rng.choice((1, 2, 4, len(DESCRIBED), len(DESCRIBED))))
    texts = joined([phrase(rng, beetle, part) for part in parts])
    subject = f"a photo of {nonsense_word(rng)}"
    kind = rng.random()
    text = f"A beetle with {texts}." if kind < 0.2 else f"{subject}, which has {texts}"
    if kind > 0.6:
        text = f"{subject} . A beetle with {texts}."
    stated = {*parts, *(("marking_colour",) if "marking" in parts else ())}
    return text, {part: beetle[part] for part in PARTS if part in stated}


def joined(items: Sequence[str]) -> str:
    """`x, y and z`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
