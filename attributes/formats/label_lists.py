"""JSON objects of label -> list of texts: the common code of DCLIP's and CuPL's formats."""

import json
from collections.abc import Iterable, Mapping
from typing import cast

from attributes.formats.common import (
    FormatError,
    duplicate_message,
    line_fault,
    parse_json,
    unique_names,
    with_flags,
)
from attributes.formats.json_positions import line_of_path
from attributes.types import Entry, Label, Line, LineKind
from limbeck.shared.labels import LabelKey, label_fault, label_key, quoted


def write_label_lists(entries: Iterable[Entry], kind: LineKind, format_name: str) -> str:
    """The texts of all lines of this kind, by label. Raises FormatError.

    Keys must be unique, so a label whose name another label shares is written with its sense: `crane (bird)`. A label
    without lines of this kind has an empty list.
    """
    entries = list(entries)
    texts: dict[str, list[str]] = {}
    for entry, key in zip(entries, unique_names(entries), strict=True):
        if key in texts:
            raise FormatError(f"{quoted(key)} is in the set twice; {format_name} can hold it only once")
        texts[key] = [line.text for line in entry.lines if line.kind == kind]
    if not any(texts.values()):
        raise FormatError(f"no label has a line of kind {kind}, the only kind that {format_name} can hold")
    return json.dumps(texts, ensure_ascii=False, indent=4) + "\n"


def read_label_lists(text: str, kind: LineKind, noun: str) -> list[Entry]:
    """The entries of a file, with one line of this kind per text. `noun` names the texts in errors. Raises FormatError.

    Texts are kept unchanged, without part and value.
    """
    data = parse_json(text)
    if not isinstance(data, dict):
        raise FormatError(f"must be a JSON object of label -> list of {noun}", line=1)
    entries = []
    seen: dict[LabelKey, str] = {}
    for name, texts in cast(Mapping[str, object], data).items():
        detail = label_fault(name, None)
        if detail is None and (first := seen.setdefault(label_key(name, None), name)) != name:
            detail = duplicate_message(Label(name), line_of_path(text, [first]))
        if detail is None:
            detail = _texts_fault(name, texts, noun)
        if detail:
            raise FormatError(detail, line=line_of_path(text, [name]))
        lines = tuple(Line(kind, one, origin="import") for one in cast(list[str], texts))
        entries.append(with_flags(Entry(name, lines=lines)))
    return entries


def _texts_fault(name: str, texts: object, noun: str) -> str | None:
    if not (isinstance(texts, list) and all(isinstance(one, str) for one in texts)):
        return f"{quoted(name)} must have a list of {noun}"
    return next((f"{quoted(name)}: {fault}" for one in texts if (fault := line_fault(one))), None)
