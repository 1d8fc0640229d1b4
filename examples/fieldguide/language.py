"""Attributes of the invented creatures, and texts that describe them in varied words.

`ATTRIBUTES` lists the values of each attribute. `phrase` describes one attribute, `sentence` a whole creature in 20 to
33 words, and `caption` samples a training caption for the teacher. Every random choice uses the caller's
`random.Random`, so a seed determines the text.
"""

import re
from collections.abc import Collection, Sequence
from random import Random

Attributes = dict[str, str]

COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black")
NO_COLOUR = "none"

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "body": ("round", "long", "tall", "boxy", "triangular"),
    "colour": COLOURS,
    "pattern": ("plain", "spotted", "striped", "belted"),
    "pattern_colour": (NO_COLOUR, *COLOURS),
    "tail": ("none", "long", "curled", "fan", "forked"),
    "wings": ("none", "small", "large"),
    "head": ("none", "horns", "antennae", "ears", "spikes"),
    "legs": ("none", "two", "four"),
    "mouth": ("none", "beak", "trunk"),
    "eyes": ("small", "large"),
}

# Pairs of pattern and body colour that cannot be distinguished at 64 pixels under varying light.
_ALIKE = {
    frozenset(pair)
    for pair in (
        ("red", "orange"),
        ("red", "pink"),
        ("red", "brown"),
        ("orange", "yellow"),
        ("orange", "brown"),
        ("yellow", "white"),
        ("purple", "pink"),
        ("purple", "blue"),
        ("brown", "black"),
    )
}

COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange", "amber"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "azure"),
    "purple": ("purple", "violet"),
    "pink": ("pink", "rosy"),
    "brown": ("brown", "chestnut"),
    "white": ("white", "snowy"),
    "black": ("black", "sooty"),
}

BODY_WORDS: dict[str, tuple[str, ...]] = {
    "round": ("round", "ball-shaped", "plump round"),
    "long": ("long", "low and elongated", "sausage-shaped"),
    "tall": ("tall", "tall and upright", "narrow upright"),
    "boxy": ("boxy", "square", "box-shaped"),
    "triangular": ("triangular", "cone-shaped", "wedge-shaped"),
}

PATTERN_WORDS: dict[str, tuple[str, ...]] = {
    "spotted": ("{c} spots", "bold {c} spots", "round {c} dots"),
    "striped": ("{c} stripes", "narrow {c} stripes", "upright {c} stripes"),
    "belted": ("one broad {c} belt", "a wide {c} band", "a single {c} belt"),
}

PART_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "tail": {
        "none": ("no tail", "no tail at all"),
        "long": ("a long straight tail", "a long thin tail", "a whip-like tail"),
        "curled": ("a curled tail", "a tail rolled into a curl", "a spiral tail"),
        "fan": ("a fan-shaped tail", "a broad fan tail", "a tail spread like a fan"),
        "forked": ("a forked tail", "a tail split in two", "a deeply forked tail"),
    },
    "wings": {
        "none": ("no wings", "no wings to be seen"),
        "small": ("small stubby wings", "tiny wings", "short little wings"),
        "large": ("large wings", "big raised wings", "broad tall wings"),
    },
    "head": {
        "none": ("a bare head", "a smooth head"),
        "horns": ("two curved horns", "a pair of horns", "pale pointed horns"),
        "antennae": ("two thin antennae", "antennae with knobs", "a pair of feelers"),
        "ears": ("two round ears", "big round ears", "disc-shaped ears"),
        "spikes": ("a crest of spikes", "a spiky crest", "a row of spikes on top"),
    },
    "legs": {
        "none": ("no legs", "a legless underside"),
        "two": ("two legs", "a pair of legs", "just two thin legs"),
        "four": ("four legs", "four thin legs", "four short legs"),
    },
    "mouth": {
        "none": ("a flat face", "no beak or trunk"),
        "beak": ("a pointed beak", "a long sharp beak", "a yellow beak"),
        "trunk": ("a drooping trunk", "a hanging trunk", "a long bent snout"),
    },
    "eyes": {
        "small": ("a small eye", "a tiny beady eye", "a little dark eye"),
        "large": ("a huge eye", "a large round eye", "one big staring eye"),
    },
}

# Hints that a name may contain. Each is true of the creature with that name.
NAME_WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "colour": {colour: tuple(w.capitalize() for w in words) for colour, words in COLOUR_WORDS.items()},
    "pattern": {"spotted": ("Spotted",), "striped": ("Striped",), "belted": ("Belted",)},
    "tail": {"long": ("Longtail",), "curled": ("Curltail",), "fan": ("Fantail",), "forked": ("Forktail",)},
    "wings": {"large": ("Bigwing",)},
    "head": {"horns": ("Horned",), "ears": ("Eared",), "spikes": ("Spiky",), "antennae": ("Antenna",)},
    "body": {"round": ("Round",), "tall": ("Tall",), "boxy": ("Boxy",), "triangular": ("Wedge",)},
}

_NOUNS = ("creature", "animal", "beast", "being")
_ONSETS = (
    "b",
    "br",
    "ch",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "pr",
    "r",
    "s",
    "sk",
    "sl",
    "sn",
    "t",
    "th",
    "tr",
    "v",
    "vr",
    "w",
    "y",
    "z",
)
_NUCLEI = ("a", "a", "e", "e", "i", "i", "o", "o", "u", "u", "ai", "ea", "oo", "ee")
_MIDDLES = ("", "", "", "l", "m", "n", "r", "s")
_ENDS = ("", "l", "m", "n", "r", "s", "t", "x", "rd", "sk", "lp", "mb", "nd", "ck", "rn", "sh", "th", "ff", "w")


def is_valid(attributes: Attributes) -> bool:
    """Whether the pattern colour is distinguishable from the body colour, or absent for a plain body."""
    colour = attributes["pattern_colour"]
    if attributes["pattern"] == "plain":
        return colour == NO_COLOUR
    body = attributes["colour"]
    return colour not in (NO_COLOUR, body) and frozenset((colour, body)) not in _ALIKE


def random_attributes(rng: Random) -> Attributes:
    """One creature with uniformly sampled attributes (plain bodies have no pattern colour)."""
    while True:
        sampled = {key: rng.choice(values) for key, values in ATTRIBUTES.items()}
        if sampled["pattern"] == "plain":
            sampled["pattern_colour"] = NO_COLOUR
        if is_valid(sampled):
            return sampled


def nonsense_word(rng: Random) -> str:
    """An invented word of one to three syllables, capitalised."""
    middles = rng.choice((0, 1, 1, 1, 2))
    parts = [rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_MIDDLES) for _ in range(middles)]
    last = rng.choice(_ONSETS) + rng.choice(_NUCLEI) + rng.choice(_ENDS)
    return ("".join(parts) + last).capitalize()


def colour_word(rng: Random, colour: str) -> str:
    return rng.choice(COLOUR_WORDS[colour])


def phrase(rng: Random, attributes: Attributes, part: str) -> str:
    """A short noun phrase for one part: `body`, `colour`, `pattern` (including its colour), `tail`, …"""
    if part == "body":
        return f"a {rng.choice(BODY_WORDS[attributes['body']])} body"
    if part == "colour":
        word = colour_word(rng, attributes["colour"])
        return with_article(rng.choice((f"a {word} body", f"{word} skin", f"a {word} coat")))
    if part == "pattern":
        return pattern_phrase(rng, attributes)
    return rng.choice(PART_WORDS[part][attributes[part]])


def pattern_phrase(rng: Random, attributes: Attributes) -> str:
    pattern = attributes["pattern"]
    if pattern == "plain":
        return rng.choice(("a plain coat without markings", "no markings", "one even colour all over"))
    word = colour_word(rng, attributes["pattern_colour"])
    return with_article(rng.choice(PATTERN_WORDS[pattern]).format(c=word))


def with_article(text: str) -> str:
    """Correct the article: `a amber belt` becomes `an amber belt`."""
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def joined(items: Sequence[str], rng: Random) -> str:
    """`x, y and z`, sometimes `x, y, and z`."""
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + rng.choice((" and ", ", and ", " and ")) + items[-1]


def describe(rng: Random, attributes: Attributes, parts: Collection[str]) -> str:
    """A clause that describes the given parts: `a plump round crimson creature with …, … and …`."""
    lead = []
    if "body" in parts:
        lead.append(rng.choice(BODY_WORDS[attributes["body"]]))
    if "colour" in parts:
        lead.append(colour_word(rng, attributes["colour"]))
    noun = rng.choice(_NOUNS)
    head = with_article(f"a {' '.join(lead)} {noun}" if lead else f"a {noun}")
    link = rng.choice((", with ", " with ", " that has ", " showing ", ", bearing "))
    if lead and rng.random() < 0.25:
        head, link = with_article(f"a {noun} with a {' '.join(lead)} body"), ", "
    rest = [part for part in parts if part not in ("body", "colour")]
    rng.shuffle(rest)
    words = [phrase(rng, attributes, part) for part in rest]
    return f"{head}{link}{joined(words, rng)}" if words else head


PARTS = tuple(key for key in ATTRIBUTES if key != "pattern_colour")


def sentence(rng: Random, attributes: Attributes, *, words: tuple[int, int] = (20, 33)) -> str:
    """One sentence of 20 to 33 words that describes nearly every part."""
    while True:
        absent = [p for p in PARTS if p not in ("body", "colour") and attributes[p] in ("none", "plain")]
        dropped = set(rng.sample(absent, k=min(len(absent), rng.choice((0, 0, 1)))))
        text = describe(rng, attributes, [p for p in PARTS if p not in dropped])
        text = text[0].upper() + text[1:] + "."
        if words[0] <= len(text.split()) <= words[1]:
            return text


def key_phrases(rng: Random, attributes: Attributes) -> list[dict[str, str]]:
    """Five to eight `{part, value, phrase}`: body, colour and pattern, then present parts before absent ones."""
    rest = [p for p in PARTS if p not in ("body", "colour", "pattern")]
    rng.shuffle(rest)
    rest.sort(key=lambda part: attributes[part] == "none")
    present = sum(attributes[part] != "none" for part in rest)
    count = min(8, max(5, 3 + present))
    return [
        {"part": part, "value": value_of(attributes, part), "phrase": phrase(rng, attributes, part)}
        for part in ("body", "colour", "pattern", *rest)[:count]
    ]


def value_of(attributes: Attributes, part: str) -> str:
    """The value of a part; the value of a pattern includes its colour."""
    if part == "pattern" and attributes["pattern"] != "plain":
        return f"{attributes['pattern_colour']} {attributes['pattern']}"
    return attributes[part]


def name_with_hints(rng: Random, attributes: Attributes, hints: Sequence[str]) -> str:
    """An invented name with true hints at the given attributes: `Crimson Tolpard`, `Longtail Vree`."""
    words = [rng.choice(NAME_WORDS[key][attributes[key]]) for key in hints]
    return " ".join([*words, nonsense_word(rng)])


def possible_hints(attributes: Attributes) -> list[str]:
    """The attributes of this creature that a name can hint at."""
    return [key for key, words in NAME_WORDS.items() if attributes[key] in words]


def caption(rng: Random, attributes: Attributes) -> tuple[str, dict[str, str]]:
    """A training caption, with or without an invented name, and the attribute values that it states."""
    kind = rng.random()
    hints: list[str] = []
    if kind < 0.15 or rng.random() < 0.3:
        possible = possible_hints(attributes)
        hints = rng.sample(possible, k=min(len(possible), rng.choice((1, 1, 2))))
    has_name = hints or rng.random() < 0.75
    subject = name_with_hints(rng, attributes, hints) if has_name else rng.choice(("a creature", "an animal"))
    prefix = rng.choice(("a photo of ", "a photo of ", "a photo of ", "a photo of a ", "a picture of ", ""))
    parts: list[str] = []
    if kind < 0.15 and hints:
        text = f"{prefix}{subject}"
    elif kind < 0.35:
        parts = rng.sample(PARTS, k=rng.randint(1, 4))
        text = f"{prefix}{subject}, which has {joined([phrase(rng, attributes, p) for p in parts], rng)}"
    else:
        is_long = kind < 0.85
        parts = rng.sample(PARTS, k=rng.randint(7, 9) if is_long else rng.randint(2, 6))
        clause = describe(rng, attributes, parts)
        text = f"{prefix}{subject} . {clause}." if rng.random() < 0.8 else f"{clause}."
        hints = hints if text.startswith(prefix + subject) else []
    stated = {*hints, *parts} | ({"pattern_colour"} if "pattern" in parts else set())
    return text, {key: attributes[key] for key in ATTRIBUTES if key in stated}
