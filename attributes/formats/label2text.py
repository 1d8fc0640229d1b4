"""label2text.txt and a file with one sentence per line, joined by line order, as published by Li et al.
(arXiv:2307.03135).

A line of label2text.txt is `folder number label`, with underscores for the spaces of the label. `Label2Text.name` has
spaces; `published` and `folder` keep the text of the file. Sentences are kept unchanged; empty ones are flagged
`empty`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from attributes.formats.common import (
    FormatError,
    duplicate_message,
    line_fault,
    unique_names,
    with_flags,
)
from attributes.types import Entry, Label, sentence_and_phrases
from limbeck.shared.labels import LabelKey, label_fault, label_key, numbered_lines


@dataclass(frozen=True, kw_only=True)
class Label2Text:
    """One line of label2text.txt."""

    folder: str
    number: int
    published: str

    @property
    def name(self) -> str:
        """The label as in a vocabulary, with spaces for underscores."""
        return self.published.replace("_", " ")


def read_label2text(text: str) -> list[Label2Text]:
    """The lines of label2text.txt: `001.Black_footed_Albatross 1 Black_footed_Albatross`. Raises FormatError."""
    file = "label2text"
    rows: list[Label2Text] = []
    seen: dict[LabelKey, int] = {}
    for line, content in numbered_lines(text):
        fields = content.split(" ")
        if len(fields) != 3 or not all(fields) or not fields[1].isascii() or not fields[1].isdigit():
            raise FormatError(f"must be `folder number label`, not {content[:80]!r}", line=line, file=file)
        row = Label2Text(folder=fields[0], number=int(fields[1]), published=fields[2])
        if fault := label_fault(row.name, None):
            raise FormatError(fault, line=line, file=file)
        if (first := seen.setdefault(label_key(row.name, None), line)) != line:
            raise FormatError(duplicate_message(Label(row.name), first), line=line, file=file)
        rows.append(row)
    if not rows:
        raise FormatError("has no lines", file=file)
    return rows


def join_sentences(rows: Iterable[Label2Text], text: str) -> list[Entry]:
    """The entries of label2text rows and of the file with their sentences, joined by line order.

    Sentences are kept unchanged; a sentence that is only `.` is flagged `empty`. Raises FormatError if the files
    differ in their number of lines, because later sentences would be joined to the wrong labels.
    """
    file = "sentences"
    rows, lines = list(rows), numbered_lines(text)
    if len(rows) != len(lines):
        line = min(len(rows), len(lines)) + 1
        detail = f"has {len(lines)} lines for {len(rows)} labels; they are joined by line order"
        raise FormatError(detail, line=line, file=file)
    entries = []
    for row, (line, sentence) in zip(rows, lines, strict=True):
        if fault := line_fault(sentence):
            raise FormatError(fault, line=line, file=file)
        entries.append(with_flags(Entry(row.name, lines=sentence_and_phrases(sentence, (), origin="import"))))
    return entries


def label2text_of(entries: Iterable[Entry], rows: Iterable[Label2Text] = ()) -> list[Label2Text]:
    """The label2text row of each entry: the row of that label in `rows`, otherwise a new one, numbered as in CUB.

    Labels that share a name are written with their senses.
    """
    known = {label_key(row.name, None): row for row in rows}  # the row `cyclamen_` is for label `cyclamen`
    result = []
    for number, name in enumerate(unique_names(entries), start=1):
        published = name.replace(" ", "_")
        numbered = Label2Text(folder=f"{number:03d}.{published}", number=number, published=published)
        result.append(known.get(label_key(name, None), numbered))
    return result


def write_label2text(rows: Iterable[Label2Text]) -> str:
    """The text of label2text.txt, as `read_label2text` reads it."""
    return "".join(f"{row.folder} {row.number} {row.published}\n" for row in rows)


def write_sentences(entries: Iterable[Entry]) -> str:
    """One sentence per line, in the order of the entries; `.` for an entry without one, as in the published files."""
    return "".join(f"{entry.sentence or '.'}\n" for entry in entries)
