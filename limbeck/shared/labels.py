"""The rule of labels: which names, senses and domains are valid, and which labels are the same.

Every way in which labels enter uses this module: the API (JSON, CSV, text, imports), `python -m attributes` and
`python -m distill`. Labels that were stored under an older rule are not checked again when they are read.

A label is a name of 1 to 200 characters and may have a sense of at most 500. Both are normalized to Unicode NFC and
trimmed; white space inside is kept. They must not have control, format, private-use or unassigned characters, lone
surrogates and line separators: these are invisible or have no agreed meaning, and `limbeck.shared.text.clean` would
remove them from a prompt. The zero-width joiners are valid, because some scripts need them.

Two labels are the same if their names and senses are equal, ignoring case. Labels of one list that share a name must
all have a sense.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

MAX_LABEL_CHARS = 200
MAX_SENSE_CHARS = 500
MAX_DOMAIN_CHARS = 200

LabelPair = tuple[str, str | None]
"""(name, sense)"""
LabelKey = tuple[str, str]
"""Equal for labels that are the same."""

_NUMBER = re.compile(r"^(?!(0|[1-9]\d?)\.\d{1,2}(?!\d))\d+[._]\s*")  # `1.5 V cell` begins with no number of a folder
_JOINERS = "\u200c\u200d"
_FAULTS = {
    **dict.fromkeys(("Cc", "Cf", "Cs", "Zl", "Zp"), "has a control character (U+{:04X})"),
    "Co": "has a private-use character (U+{:04X}) in {}; remove it, or use a standard character",
    "Cn": "has an unassigned character (U+{:04X}) in {}; remove it, or use a standard character",
}


def normalize(text: str) -> str:
    """Normalize to NFC and trim."""
    return unicodedata.normalize("NFC", text).strip()


def without_number(name: str) -> str:
    """The name without a number at its start, as CUB's folders have: `001.Black_footed_Albatross`, no `1.5 V cell`."""
    return _NUMBER.sub("", unicodedata.normalize("NFC", name))


def dataset_form(name: str) -> str:
    """The form in which folder names and labels are compared.

    In this order: Unicode NFC; remove a leading number followed by `.` or `_` (`001.Black_footed_Albatross`), unless it
    begins a decimal (`1.5 V cell`); replace underscores and hyphens by spaces; collapse and strip white space; fold
    case. This is looser than the comparison of labels (`label_key`), because folder names have numbers and underscores
    that labels lack.
    """
    text = re.sub(r"[_-]", " ", without_number(name))
    return unicodedata.normalize("NFC", " ".join(text.split()).casefold())


def is_invalid_character(character: str) -> bool:
    """Whether a label must not have this character."""
    return unicodedata.category(character) in _FAULTS and character not in _JOINERS


def text_fault(text: str, max_chars: int) -> str | None:
    """Why the text is not valid as a name, sense or domain of at most `max_chars` characters; None if it is valid.

    The text should be normalized. The result is a predicate, such as `is blank`.
    """
    if all(character.isspace() or character in _JOINERS for character in text):
        return "is blank"
    if len(text) > max_chars:
        return f"has {len(text)} characters; at most {max_chars} are allowed"
    if text.isprintable():
        return None
    invalid = next(filter(is_invalid_character, text), None)
    if invalid is None:
        return None
    visible = text.replace(invalid, f"<U+{ord(invalid):04X}>")
    return _FAULTS[unicodedata.category(invalid)].format(ord(invalid), quoted(visible))


def name_fault(name: str) -> str | None:
    """Why the name of a label is invalid after it is normalized: `has 201 characters; …`. None if it is valid."""
    return text_fault(normalize(name), MAX_LABEL_CHARS)


def sense_fault(sense: str | None) -> str | None:
    """Why the sense of a label is invalid after it is normalized; None if it is valid. A blank sense is no sense."""
    text = normalize(sense or "")
    return text_fault(text, MAX_SENSE_CHARS) if text else None


def domain_fault(domain: str) -> str | None:
    """Why a domain is invalid after it is normalized; None if it is valid. An empty domain is valid."""
    text = normalize(domain)
    return text_fault(text, MAX_DOMAIN_CHARS) if text else None


def label_fault(name: str, sense: str | None) -> str | None:
    """Why a label is invalid, with the label: `label "crane" has …`. None if it is valid."""
    if fault := name_fault(name):
        return f"label {quoted(name)} {fault}"
    if fault := sense_fault(sense):
        return f"the sense of label {quoted(name)} {fault}"
    return None


def quoted(name: str) -> str:
    """The name in double quotes, at most 80 characters."""
    return json.dumps(name[:80], ensure_ascii=False)


def fold(text: str) -> str:
    """The text as it is compared: normalized, without case."""
    return normalize(text).casefold()


def label_key(name: str, sense: str | None) -> LabelKey:
    """The key of a label. Two labels are the same if their keys are equal."""
    return fold(name), fold(sense or "")


def duplicates(labels: Sequence[LabelPair]) -> Iterator[tuple[int, int]]:
    """(position, position of the first) of each label that is the same as an earlier one."""
    seen: dict[LabelKey, int] = {}
    for position, label in enumerate(labels):
        if (first := seen.setdefault(label_key(*label), position)) != position:
            yield position, first


def missing_senses(labels: Sequence[LabelPair]) -> Iterator[tuple[int, int]]:
    """(position, position of another) of a label without a sense whose name another label shares; one for each name."""
    by_name: dict[str, list[int]] = {}
    for position, (name, _) in enumerate(labels):
        by_name.setdefault(fold(name), []).append(position)
    for positions in by_name.values():
        missing = next((position for position in positions if not fold(labels[position][1] or "")), None)
        if len(positions) > 1 and missing is not None:
            yield missing, next(position for position in positions if position != missing)


def written(name: str, sense: str | None) -> str:
    """The label as one text: `crane (bird)`, or its name if it has no sense."""
    return f"{name} ({sense})" if sense else name


def readings(text: str) -> list[LabelPair]:
    """The labels that `name` or `name (sense)` can mean. There are several, because a name can have brackets."""
    labels: list[LabelPair] = [(text, None)]
    start = text.find(" (")
    while start > 0 and text.endswith(")"):
        labels.append((text[:start], text[start + 2 : -1]))
        start = text.find(" (", start + 1)
    return labels


def unique_names(labels: Sequence[LabelPair]) -> list[str]:
    """The name of each label; with its sense, as `written`, if several labels share the name."""
    counts = Counter(fold(name) for name, _ in labels)
    return [written(name, sense) if counts[fold(name)] > 1 else name for name, sense in labels]


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """(line number from 1, line without its end) of a text file; only a line feed, or CR LF, ends a line.

    A line end at the end of the text starts no further line. A byte order mark is removed.
    """
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return list(enumerate(lines, start=1))
