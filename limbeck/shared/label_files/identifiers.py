"""Which texts are identifiers, not names: WordNet and Freebase ids, numbers, Wikidata items, UUIDs, hashes, URLs.

An LLM that is asked about `n01440764` invents something, so a file of identifiers alone is refused.
"""

import re
from collections.abc import Iterable, Sequence

_KINDS = {
    "wnid": r"[nvars]\d{8}",
    "synset": r"[\w'./-]+\.[nvars]\.\d{2}",
    "mid": r"/m/0[0-9a-z_]{2,}|/g/1[0-9a-z_]{4,}|/t/dd\d+",
    "uuid": r"[{(]?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}[)}]?",
    "hash": r"(?=.*\d)(?=.*[a-f])[0-9a-f]{12,}",
    "url": r"(?:https?|ftp|urn|s3|gs)://?\S+|urn:\S+",
    "curie": r"[a-z]{2,15}:(?:txid|q)?\d{2,}",
    "qid": r"[QqPp][1-9]\d+",
    "number": r"#?[-+]?\d+(?:[.,]\d+)?[.):]?|[-+.\d]+(?:[\s,;]+[-+.\d]+)+",
    "placeholder": r"(?:label|class|category|cls)_?\d+",
    "file name": (
        r"\S+\.(?:jpe?g|png|bmp|webp|tiff?)[\s,;].*|"
        r"\S.*\.(?:jpe?g|png|gif|bmp|webp|tiff?|heic|npy|npz|txt|json|xml|csv|tfrecords?|tar|mp4|wav)"
    ),
}
_CASED = ("wnid", "synset", "mid")
_PATTERNS = {kind: re.compile(f"(?{'' if kind in _CASED else 'i'}:{pattern})") for kind, pattern in _KINDS.items()}
_ANY = re.compile("|".join(pattern.pattern for pattern in _PATTERNS.values()))
_HINT = re.compile(r"[\d/.:]")  # every kind has one of them
STRONG_KINDS = frozenset({"wnid", "synset", "mid", "uuid", "hash", "url"})
"""Kinds that no name looks like: one such label is enough to refuse a file."""
PREFIX_KINDS = ("wnid", "mid", "synset", "uuid", "hash", "qid", "curie")
"""Kinds of ids that can stand beside a name on a line."""

_YEARS = range(1900, 2101)


def id_kind(text: str) -> str | None:
    """The kind of identifier that a text is as a whole, or None for a name."""
    text = text.strip()
    if not _HINT.search(text) or not _ANY.fullmatch(text):
        return None
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.fullmatch(text)), None)


def is_kind(text: str, kind: str) -> bool:
    """Whether a text is an identifier of this kind."""
    return _PATTERNS[kind].fullmatch(text.strip()) is not None


def common_kind(texts: Iterable[str]) -> str | None:
    """The kind of which all texts are, or None. Texts of several kinds, of which none is a name, are `mixed`."""
    kinds = set()
    for text in texts:
        if (kind := id_kind(text)) is None:
            return None
        kinds.add(kind)
    return "mixed" if len(kinds) > 1 else next(iter(kinds), None)


def is_number(text: str) -> bool:
    """Whether a text is an integer that is not negative."""
    return text.isascii() and text.isdigit()


def is_dense(numbers: Sequence[int]) -> bool:
    """Whether distinct numbers count labels: they start at 0 or 1 and have few gaps."""
    return (
        len(numbers) > 1
        and len(set(numbers)) == len(numbers)
        and min(numbers) in (0, 1)
        and max(numbers) < 1.5 * len(numbers) + 2
    )


def are_increasing(numbers: Sequence[int]) -> bool:
    """Whether each number is larger than the one before."""
    return all(a < b for a, b in zip(numbers, numbers[1:], strict=False))


def are_years(numbers: Sequence[int]) -> bool:
    """Whether all numbers look like years."""
    return all(number in _YEARS for number in numbers)
