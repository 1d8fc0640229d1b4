"""Recognise responses that got stuck: endless white space, or the same words again and again.

Grammars of structured output allow white space between tokens, and a model that the grammar keeps from its preferred
token can emit white space until the token limit. OpenAI documents this for its JSON mode, llama.cpp and vLLM show it
too. A larger token limit only makes such a response longer.
"""

import re

MIN_SPACE_CHARS = 60  # indented JSON has shorter runs
MIN_LOOP_CHARS = 160
_MIN_REPEATS = 8
_MIN_LONG_REPEATS = 5  # of at least `_LONG_CHARS`
_LONG_CHARS = 60
_MIN_COUNTED_REPEATS = 12
_MAX_TAIL_CHARS = 6_000
# White space at the end of the text, also written as escapes in a string, before what a server or fence closes.
_SPACE = re.compile(r"(?:\s|\\[ntr]|\\u00a0|\\u200b|[\u200b\u200c\u2060\ufeff])+")
_DIGITS = re.compile(r"\d+")
_CLOSERS = " \t\r\n`\"'}]"


def is_stuck(text: str) -> bool:
    """Whether an incomplete response ends in a long run of white space, is mostly white space, or repeats itself to
    its end."""
    return _ends_in_space(text) or _ends_in_repetition(text)


def _ends_in_space(text: str) -> bool:
    longest, total = 0, 0
    for run in _SPACE.finditer(text):
        size = len(run[0])
        total += size
        if size >= MIN_SPACE_CHARS and not text[run.end() :].strip(_CLOSERS):
            return True
        longest = max(longest, size)
    return longest >= MIN_SPACE_CHARS and total > 0.5 * len(text)


def _ends_in_repetition(text: str) -> bool:
    """Whether the end of the text is one string repeated. Numbers may differ, as in `mark 1, mark 2`, if it is repeated
    more often than a list can be long."""
    tail = text[-_MAX_TAIL_CHARS:].rstrip(_CLOSERS)
    return _is_periodic(tail, _MIN_REPEATS, _MIN_LONG_REPEATS) or _is_periodic(
        _DIGITS.sub("0", tail), _MIN_COUNTED_REPEATS, _MIN_COUNTED_REPEATS
    )


def _is_periodic(text: str, min_repeats: int, min_long_repeats: int) -> bool:
    """Whether the text ends in so many repeats of one string (of a string of `_LONG_CHARS`: `min_long_repeats`)."""
    if len(text) < MIN_LOOP_CHARS:
        return False
    backwards = text[::-1]
    overlaps = _overlaps(backwards)
    for period in range(1, len(text) // min_long_repeats + 1):
        repeats = min_repeats if period < _LONG_CHARS else min_long_repeats
        is_long = period + overlaps[period] >= max(MIN_LOOP_CHARS, repeats * period)
        if is_long and any(map(str.isalnum, backwards[:period])):
            return True
    return False


def _overlaps(text: str) -> list[int]:
    """For each position, how many characters from there equal the start of the text (the Z function), in O(n)."""
    sizes = [0] * len(text)
    left = right = 0
    for i in range(1, len(text)):
        size = min(right - i, sizes[i - left]) if i < right else 0
        while i + size < len(text) and text[size] == text[i + size]:
            size += 1
        sizes[i] = size
        if i + size > right:
            left, right = i, i + size
    return sizes
