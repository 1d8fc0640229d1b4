"""Texts that are lists with bullets or numbers, as LLMs answer:

Useful features:
- a long neck
- grey wings
"""

import re

_BULLET = re.compile(r"\s*(?:[-*•–]|\d{1,3}[.)])\s+(.*\S)")
_INTRODUCTION = re.compile(
    r"(?:here (?:are|is)|(?:the )?following|there are|some|several|useful|visual|distinguishing|key|sure)\b.*:|"
    r".*\b(?:features|characteristics|attributes|descriptors|descriptions|cues|traits)\b.*:",
    re.IGNORECASE,
)


def listed_items(text: str) -> list[str]:
    """The items of a text whose every line begins with a bullet or number; else the text alone.

    A first line such as `Useful features:` is no item.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and _INTRODUCTION.fullmatch(lines[0].strip()) and not _BULLET.match(lines[0]):
        del lines[0]
    elif len(lines) < 2:
        return [text]
    items = [found.group(1) for line in lines if (found := _BULLET.match(line))]
    return items if len(items) == len(lines) else [text]
