"""JSON of texts by label: the common code of DCLIP's and CuPL's formats.

`limbeck.shared.attribute_files.label_texts` lists the shapes that are read; one of them is written.
"""

import json
from collections.abc import Iterable

from attributes.formats.common import FormatError, Reading, unique_names, with_flags
from attributes.types import Entry, Line, LineKind
from limbeck.shared.attribute_files.json_documents import parse_json
from limbeck.shared.attribute_files.label_texts import ONE_TEXT, LabelText, LabelTexts, read_label_texts
from limbeck.shared.labels import label_key, quoted


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


def read_label_lists(text: str, kind: LineKind, reading: Reading) -> list[Entry]:
    """The entries of a file, with one line of this kind per text. Raises FormatError.

    What a text is about, if the file says it, is the question of an answer or the part of a phrase; texts about another
    label of the file are contrasts to it.
    """
    found = read_label_texts(parse_json(text, reading), reading)
    reading.close()
    return entries_of_texts(found, "sentence" if kind == "answer" and reading.report.read_as == ONE_TEXT else kind)


def entries_of_texts(labels: Iterable[LabelTexts], kind: LineKind) -> list[Entry]:
    """The entries with one line of this kind per text."""
    labels = list(labels)
    names = {label_key(str(label), None): str(label) for label in labels}
    asked = {one.about for label in labels for one in label.texts if one.about}
    is_contrast = bool(asked) and all(label_key(about, None) in names for about in asked)
    entries = []
    for label in labels:
        others = [names.get(label_key(one.about, None)) if is_contrast else None for one in label.texts]
        lines = tuple(_line(one, kind, other) for one, other in zip(label.texts, others, strict=True))
        entries.append(with_flags(Entry(label.name, label.sense, lines)))
    return entries


def _line(one: LabelText, kind: LineKind, other: str | None) -> Line:
    if other is not None:
        return Line("contrast", one.text, about=other, origin="import")
    if kind == "phrase":
        return Line(kind, one.text, part=one.about, origin="import")
    return Line(kind, one.text, about=one.about if kind == "answer" else "", origin="import")
