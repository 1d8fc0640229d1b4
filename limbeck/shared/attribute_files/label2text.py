"""label2text.txt and a file with one sentence per line, joined by line order, as published by Li et al.
(arXiv:2307.03135).

A line of label2text.txt is `folder number label`, with underscores for the spaces of the label. `Label2Text.name` has
spaces; `published` and `folder` keep the text of the file.

The sense of labels that share a name (tiered-ImageNet has two cranes, and Cardigan and cardigan) is the folder, which
is all that tells them apart. A folder that is an identifier (n02012849) says nothing to an LLM: the reader warns that
such a sense should be edited, and prompts leave it out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from limbeck.shared.attribute_files.label_texts import MAX_TEXT_CHARS
from limbeck.shared.attribute_files.reading import FormatError, Reading
from limbeck.shared.label_matching import is_identifier, without_number
from limbeck.shared.labels import fold, label_fault, label_key, numbered_lines, quoted, text_fault, written
from limbeck.shared.text import counted

FILE, SENTENCES = "label2text", "sentences"


@dataclass(frozen=True, kw_only=True)
class Label2Text:
    """One line of label2text.txt. `sense` is set only for a name that several lines have."""

    folder: str
    number: int
    published: str
    sense: str | None = None
    line: int = field(default=0, compare=False)

    @property
    def name(self) -> str:
        """The label as in a vocabulary, with spaces for underscores."""
        return self.published.replace("_", " ").strip()

    @property
    def label(self) -> str:
        """The name with its sense."""
        return written(self.name, self.sense)


def read_rows(text: str, reading: Reading) -> list[Label2Text]:
    """The valid lines of label2text.txt, with senses where names repeat. The caller closes the reading."""
    rows: list[Label2Text] = []
    lines = numbered_lines(text)
    while (
        lines and not lines[-1][1].strip()
    ):  # blank lines at the end name nothing; one between rows would move the rest
        lines.pop()
    reading.num_rows = len(lines)
    for line, content in lines:
        # Spaces in the label are accepted, because some files have them instead of underscores.
        folder, _, rest = content.strip().replace("\t", " ").partition(" ")
        number, _, label = rest.strip().partition(" ")
        label = reading.label(label)
        if not label or not number.isascii() or not number.isdigit():
            reading.fault(f"must be `folder number label`, not {quoted(content)}", line=line, file=FILE)
            continue
        row = Label2Text(folder=folder, number=int(number), published=label, line=line)
        if fault := label_fault(row.name, None):
            reading.fault(fault, line=line, file=FILE)
            continue
        rows.append(row)
    if not rows and not reading.report.left_out:
        reading.fault("has no lines", file=FILE)
    return _with_senses(rows, reading)


def folder_map(rows: Iterable[Label2Text]) -> dict[str, str]:
    """The label, with its sense, of each folder."""
    return {row.folder: row.label for row in rows}


def read_sentences(rows: Sequence[Label2Text], text: str, reading: Reading) -> list[str]:
    """The cleaned sentence of each row, joined by line order; empty for an invalid one.

    Raises FormatError, also for a partial reading, if the numbers of lines differ: any sentence may then belong to
    another label. The caller closes the reading.
    """
    lines = numbered_lines(text)
    num_lines = max([reading.num_rows, len(rows), *(row.line for row in rows)])
    if len(lines) != num_lines:
        line = min(num_lines, len(lines)) + 1
        detail = f"has {counted(len(lines), 'line')} for {counted(num_lines, 'label')}; they are joined by line order"
        reading.fault(detail, line=line, file=SENTENCES)
        raise FormatError(reading.report.faults, num_faults=reading.report.left_out)
    sentences = []
    for at, row in enumerate(rows):
        line, raw = lines[row.line - 1 if row.line else at]
        sentence = reading.text(raw)
        if sentence and (fault := text_fault(sentence, MAX_TEXT_CHARS)):
            reading.fault(fault, line=line, file=SENTENCES)
            sentence = ""
        sentences.append(sentence)
    return sentences


def _with_senses(rows: list[Label2Text], reading: Reading) -> list[Label2Text]:
    by_name: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        by_name.setdefault(fold(row.name), []).append(at)
    dropped: set[int] = set()
    for positions in by_name.values():
        if len(positions) > 1:
            dropped |= _separate(rows, positions, reading)
    return [row for at, row in enumerate(rows) if at not in dropped]


def _separate(rows: list[Label2Text], positions: Sequence[int], reading: Reading) -> set[int]:
    """Give the rows of one name their senses. Returns the rows that nothing tells apart, after a fault for each."""
    dropped: set[int] = set()
    first_of: dict[tuple[str, str], int] = {}
    for at in positions:
        row, sense = rows[at], _folder_words(rows[at])
        key = label_key(row.name, sense)
        if (first := first_of.setdefault(key, at)) != at:
            detail = f"label {quoted(row.name)} is also on line {rows[first].line}, with the same folder"
            reading.fault(detail, line=row.line, file=FILE)
            dropped.add(at)
        else:
            rows[at] = replace(row, sense=sense)
    kept = [rows[at] for at in positions if at not in dropped]
    if len(kept) == 1:
        rows[next(at for at in positions if at not in dropped)] = replace(kept[0], sense=None)
    else:
        _warn_of_folders([rows[at] for at in positions], reading)
    return dropped


def _warn_of_folders(rows: Sequence[Label2Text], reading: Reading) -> None:
    name, listed = rows[0].name, ", ".join(row.folder for row in rows)
    warning = (
        f"{counted(len(rows), 'line has', 'lines have')} the label {quoted(name)}; its senses are "
        f"taken from the folders {listed}"
    )
    if any(is_identifier(row.sense or "") or row.sense == row.folder for row in rows):
        warning += "; such a sense says nothing to an LLM: edit it, for instance to the kind of thing"
    reading.warn(warning)


def _folder_words(row: Label2Text) -> str:
    """The folder as a sense: without its number and without the name of the label, if that leaves something."""
    words = without_number(row.folder).replace("_", " ").strip()
    if fold(words).startswith(f"{fold(row.name)} "):
        words = words[len(row.name) :].strip(" -()")
    return row.folder if fold(words) in ("", fold(row.name)) else words
