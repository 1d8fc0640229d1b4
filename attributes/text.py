"""Texts of LLM responses: what a database accepts, and whether a text says anything."""


def database_safe(text: str, max_chars: int) -> str:
    """The text as every database accepts it: without NUL and lone surrogates, cut at `max_chars` characters."""
    return text[:max_chars].replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def has_content(text: str) -> bool:
    """Whether the text has a letter or digit. Published sets have sentences that are only a full stop."""
    return any(character.isalnum() for character in text)


def num_words(text: str) -> int:
    """The number of words, separated by white space."""
    return len(text.split())
