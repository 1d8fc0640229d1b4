"""label2text.txt with its file of sentences as entries (`limbeck.shared.attribute_files.label2text` reads them)."""

from collections.abc import Iterable, Sequence

from attributes.formats.common import Reading, unique_names, with_flags
from attributes.types import Entry, sentence_and_phrases
from limbeck.shared.attribute_files import label2text
from limbeck.shared.attribute_files.label2text import Label2Text
from limbeck.shared.labels import label_key

__all__ = ["Label2Text"]


def read_label2text(text: str, reading: Reading | None = None) -> list[Label2Text]:
    """The lines of label2text.txt: `001.Black_footed_Albatross 1 Black_footed_Albatross`. Raises FormatError."""
    reading = reading or Reading()
    rows = label2text.read_rows(text, reading)
    reading.close()
    return rows


def join_sentences(rows: Sequence[Label2Text], text: str, reading: Reading | None = None) -> list[Entry]:
    """The entries of label2text rows and of the file with their sentences, joined by line order.

    A sentence that is only `.` is flagged `empty`. Raises FormatError if the files differ in their number of lines,
    because later sentences would be joined to the wrong labels.
    """
    reading = reading or Reading()
    sentences = label2text.read_sentences(rows, text, reading)
    reading.close()
    return [
        with_flags(Entry(row.name, row.sense, sentence_and_phrases(sentence, (), origin="import")))
        for row, sentence in zip(rows, sentences, strict=False)
    ]


def label2text_of(entries: Iterable[Entry], rows: Iterable[Label2Text] = ()) -> list[Label2Text]:
    """The label2text row of each entry: the row of that label in `rows`, otherwise a new one, numbered as in CUB.

    Labels that share a name are written with their senses.
    """
    entries = list(entries)
    known = {label_key(row.name, row.sense): row for row in rows}  # the row `cyclamen_` is for label `cyclamen`
    result = []
    for number, (entry, name) in enumerate(zip(entries, unique_names(entries), strict=True), start=1):
        published = name.replace(" ", "_")
        numbered = Label2Text(folder=f"{number:03d}.{published}", number=number, published=published)
        result.append(known.get(label_key(entry.label, entry.sense), numbered))
    return result


def write_label2text(rows: Iterable[Label2Text]) -> str:
    """The text of label2text.txt, as `read_label2text` reads it."""
    return "".join(f"{row.folder} {row.number} {row.published}\n" for row in rows)


def write_sentences(entries: Iterable[Entry]) -> str:
    """One sentence per line, in the order of the entries; `.` for an entry without one, as in the published files."""
    return "".join(f"{entry.sentence or '.'}\n" for entry in entries)
