"""Texts of LLM responses: what a database accepts, and the loose comparison of names.

`limbeck.shared.labels` decides which labels are valid and which are the same.
"""

import unicodedata


def database_safe(text: str, max_chars: int) -> str:
    """The text as every database accepts it: without NUL and lone surrogates, cut at `max_chars` characters."""
    return text[:max_chars].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def same_name(one: str, other: str) -> bool:
    """Whether an LLM's text is the name of a label. Only letters and digits are compared, without case.

    Looser than `limbeck.shared.labels.label_key`: an LLM repeats `Black_footed Albatross` as `black-footed albatross`.
    """
    return _comparison_key(one) == _comparison_key(other)


def has_content(text: str) -> bool:
    """Whether the text has a letter or digit. Published sets have sentences that are only a full stop."""
    return any(character.isalnum() for character in text)


def num_words(text: str) -> int:
    """The number of words, separated by white space."""
    return len(text.split())


def _comparison_key(name: str) -> str:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(character for character in folded if character.isalnum()) or folded.strip()
