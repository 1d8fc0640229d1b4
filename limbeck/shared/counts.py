"""Numbers with their nouns, for messages."""


def number(count: int, noun: str) -> str:
    """`1 part`, `1,200 parts`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
