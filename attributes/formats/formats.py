"""Exchange files: our own JSON, DCLIP's and CuPL's JSON, and label2text + sentence lines as Li et al. publish them.

    own JSON         everything; described by `set_schema.json`; one entry a line
    DCLIP JSON       label -> list of phrases; loses all else
    CuPL JSON        label -> list of sentences, which are answers to questions that it does not keep; loses all else
    CSV              a row for each line of a label: see `attributes.formats.csv`
    label2text.txt   `folder number label` a line, and a file with one sentence a line, joined by line order

A label2text label is its third field with underscores for spaces, and that is how it comes in and goes out: `name`
has spaces, `published` (and the folder) keep what the file said. Nothing that was imported is reworded: sentences
and phrases stand as published, what is empty is flagged `empty`. Every FormatError names the line.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from attributes.flags import flags_of
from attributes.formats.json_positions import line_of_path, load_json
from attributes.formats.set_schema import SetModel
from attributes.text import MAX_LABEL_CHARS, MAX_SENSE_CHARS, fault_of, tidy
from attributes.types import Entry, Label, Line, LineKind, entry_from_json, sentence_and_phrases

FORMAT, VERSION = "limbeck.attributes", 2
MAX_TEXT_CHARS = 5_000


class FormatError(ValueError):
    """A file that is not what it should be. `line` counts from 1 (None: the file as a whole); `file` names which."""

    def __init__(self, detail: str, *, line: int | None = None, file: str = "") -> None:
        place = " ".join(part for part in (file, f"line {line}" if line else "") if part)
        super().__init__(f"{place}: {detail}" if place else detail)
        self.detail = detail
        self.line = line
        self.file = file


@dataclass(frozen=True, kw_only=True)
class AttributeFile:
    """What our own JSON holds: entries, and what they were asked with (None: not known)."""

    entries: list[Entry]
    domain: str | None = None
    strategy: str | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class Label2Text:
    """One line of label2text.txt."""

    folder: str
    number: int
    published: str

    @property
    def name(self) -> str:
        """The label as a vocabulary has it: underscores are spaces."""
        return self.published.replace("_", " ")


def write_json(
    entries: Iterable[Entry], *, domain: str | None = None, strategy: str | None = None, model: str | None = None
) -> Iterator[str]:
    """Our own JSON in pieces, one entry a line, so that a large set streams. `read_json` takes it back."""
    head = {"format": FORMAT, "version": VERSION, "domain": domain, "strategy": strategy, "model": model}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "entries": ['
    separator = "\n"
    for entry in entries:
        yield separator + json.dumps(entry.as_json(), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"


def read_json(text: str) -> AttributeFile:
    """Our own JSON. Raises FormatError for what does not fit `set_schema.json`, and for a label given twice."""
    data = _loaded(text)
    try:
        SetModel.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise FormatError(
            f"{'/'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}", line=_line_of(text, fault["loc"])
        ) from None
    entries = [entry_from_json(item) for item in data["entries"]]
    seen: dict[tuple[str, str], int] = {}
    for index, entry in enumerate(entries):
        detail = label_fault(entry.label, entry.sense) or _lines_fault(entry)
        first = seen.setdefault(identity(entry.label, entry.sense), index)
        if detail is None and first != index:
            detail = twice(Label(entry.label, entry.sense), line_of_path(text, ["entries", first]))
        if detail:
            raise FormatError(detail, line=line_of_path(text, ["entries", index]))
    head = {key: data.get(key) for key in ("domain", "strategy", "model")}
    return AttributeFile(entries=entries, **head)


def write_dclip(entries: Iterable[Entry]) -> str:
    """DCLIP's JSON: label -> phrases (an empty list for a label that has none). Raises FormatError.

    Keys must differ, so a label that shares its name with another carries its sense: `crane (bird)`.
    """
    return _write_lists(entries, "phrase", "DCLIP's JSON")


def write_cupl(entries: Iterable[Entry]) -> str:
    """CuPL's JSON: label -> answers; keys as `write_dclip` has them. Raises FormatError."""
    return _write_lists(entries, "answer", "CuPL's JSON")


def read_dclip(text: str) -> list[Entry]:
    """DCLIP's JSON. Phrases stay as they are, with no part and no value. Raises FormatError."""
    return _read_lists(text, "phrase", "phrases")


def read_cupl(text: str) -> list[Entry]:
    """CuPL's JSON. Sentences stay as they are, as answers to a question that is not known. Raises FormatError."""
    return _read_lists(text, "answer", "sentences")


def _write_lists(entries: Iterable[Entry], kind: LineKind, name: str) -> str:
    entries = list(entries)
    times = Counter(entry.label.casefold() for entry in entries)
    keyed: dict[str, list[str]] = {}
    for entry in entries:
        twin = times[entry.label.casefold()] > 1
        key = str(Label(entry.label, entry.sense)) if twin else entry.label
        if key in keyed:
            raise FormatError(f"{_quoted(key)} stands twice in the set, and {name} has one place for it")
        keyed[key] = [line.text for line in entry.lines if line.kind == kind]
    if not any(keyed.values()):
        raise FormatError(f"no label has a line of kind {kind}, and {name} holds nothing else")
    return json.dumps(keyed, ensure_ascii=False, indent=4) + "\n"


def _read_lists(text: str, kind: LineKind, noun: str) -> list[Entry]:
    data = _loaded(text)
    if not isinstance(data, dict):
        raise FormatError(f"must be a JSON object of label -> list of {noun}", line=1)
    entries = []
    seen: dict[tuple[str, str], str] = {}
    for name, texts in data.items():
        detail = label_fault(name, None)
        if detail is None and (other := seen.setdefault(identity(name, None), name)) != name:
            detail = twice(Label(name), line_of_path(text, [other]))
        if detail is None and not (isinstance(texts, list) and all(isinstance(one, str) for one in texts)):
            detail = f"{_quoted(name)} must have a list of {noun}"
        if detail is None:
            detail = next((f"{_quoted(name)}: {fault}" for one in texts if (fault := text_fault(one))), None)
        if detail:
            raise FormatError(detail, line=line_of_path(text, [name]))
        entries.append(_flagged(Entry(name, lines=tuple(Line(kind, one, origin="import") for one in texts))))
    return entries


def read_label2text(text: str) -> list[Label2Text]:
    """The lines of label2text.txt: `001.Black_footed_Albatross 1 Black_footed_Albatross`. Raises FormatError."""
    file = "label2text"
    rows: list[Label2Text] = []
    seen: dict[tuple[str, str], int] = {}
    for line, content in _lines(text):
        fields = content.split(" ")
        if len(fields) != 3 or not all(fields) or not fields[1].isascii() or not fields[1].isdigit():
            raise FormatError(f"must be `folder number label`, not {content[:80]!r}", line=line, file=file)
        row = Label2Text(folder=fields[0], number=int(fields[1]), published=fields[2])
        if fault := label_fault(row.name, None):
            raise FormatError(fault, line=line, file=file)
        if (first := seen.setdefault(identity(row.name, None), line)) != line:
            raise FormatError(twice(Label(row.name), first), line=line, file=file)
        rows.append(row)
    if not rows:
        raise FormatError("holds no line", file=file)
    return rows


def join_sentences(rows: Iterable[Label2Text], text: str) -> list[Entry]:
    """The entries of label2text rows and the file of their sentences, joined by line order.

    A sentence stands as published, a lone `.` too, which is flagged `empty`. Raises FormatError where the numbers of
    lines differ, which would join every later sentence to a wrong label.
    """
    file = "sentences"
    rows, lines = list(rows), _lines(text)
    if len(rows) != len(lines):
        line = min(len(rows), len(lines)) + 1
        detail = f"has {len(lines)} lines for {len(rows)} labels; they are joined by line order"
        raise FormatError(detail, line=line, file=file)
    entries = []
    for row, (line, sentence) in zip(rows, lines, strict=True):
        if fault := text_fault(sentence):
            raise FormatError(fault, line=line, file=file)
        entries.append(_flagged(Entry(row.name, lines=sentence_and_phrases(sentence, (), origin="import"))))
    return entries


def label2text_of(entries: Iterable[Entry], rows: Iterable[Label2Text] = ()) -> list[Label2Text]:
    """The rows of a label2text.txt for these entries: those that a file had of them, else as CUB numbers its classes.

    Where labels share a name, each carries its sense.
    """
    entries = list(entries)
    known = {identity(tidy(row.name), None): row for row in rows}  # `cyclamen_` is a label `cyclamen`
    times = Counter(entry.label.casefold() for entry in entries)
    made = []
    for number, entry in enumerate(entries, start=1):
        name = str(Label(entry.label, entry.sense)) if times[entry.label.casefold()] > 1 else entry.label
        published = name.replace(" ", "_")
        fresh = Label2Text(folder=f"{number:03d}.{published}", number=number, published=published)
        made.append(known.get(identity(name, None), fresh))
    return made


def write_label2text(rows: Iterable[Label2Text]) -> str:
    """label2text.txt as it was read."""
    return "".join(f"{row.folder} {row.number} {row.published}\n" for row in rows)


def write_sentences(entries: Iterable[Entry]) -> str:
    """A sentence a line, in the order of the entries; `.` where there is none, as published files have it."""
    return "".join(f"{entry.sentence or '.'}\n" for entry in entries)


def read_label_lines(text: str) -> list[Label]:
    """Labels from plain text: one a line, a sense after a tab. Raises FormatError."""
    labels: list[Label] = []
    seen: dict[tuple[str, str], int] = {}
    for line, content in _lines(text):
        name, _, sense = (part.strip() for part in content.partition("\t"))
        label = Label(name, sense or None)
        if fault := label_fault(label.name, label.sense):
            raise FormatError(fault, line=line)
        if (first := seen.setdefault(identity(name, sense), line)) != line:
            raise FormatError(f"{twice(label, first)}; give each a sense after a tab", line=line)
        labels.append(label)
    if not labels:
        raise FormatError("holds no label")
    return labels


def _loaded(text: str) -> Any:
    try:
        return load_json(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise FormatError(f"is no JSON: {error.msg} (column {error.colno})", line=error.lineno) from error


def _line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line of what stands at `path`, or of the innermost thing around it that is there."""
    while (line := line_of_path(text, path)) is None and path:
        path = path[:-1]
    return line


def _lines(text: str) -> list[tuple[int, str]]:
    """Numbered lines without their ends; what follows the last end is a line only if it holds something."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return list(enumerate(lines, start=1))


def _flagged(entry: Entry) -> Entry:
    return replace(entry, flags=flags_of(entry))


def label_fault(name: str, sense: str | None) -> str | None:
    """Why this cannot be a label, or None."""
    if fault := fault_of(name, MAX_LABEL_CHARS):
        return f"label {_quoted(name)} {fault}"
    if sense and (fault := fault_of(sense, MAX_SENSE_CHARS)):
        return f"the sense of label {_quoted(name)} {fault}"
    return None


def text_fault(text: str) -> str | None:
    """Why this cannot be a line's text, or None; published files have empty ones."""
    return fault_of(text, MAX_TEXT_CHARS) if text else None


def _lines_fault(entry: Entry) -> str | None:
    texts = (text for line in entry.lines for text in (line.text, line.part, line.value, line.about, line.other_value))
    fault = next((fault for text in texts if (fault := text_fault(text))), None)
    return f"{_quoted(entry.label)}: {fault}" if fault else None


def identity(name: str, sense: str | None) -> tuple[str, str]:
    """What two labels that are the same share."""
    return name.casefold(), (sense or "").casefold()


def twice(label: Label, line: int | None) -> str:
    """That a label stands a second time."""
    return f"label {_quoted(str(label))} is also on line {line}"


def _quoted(name: str) -> str:
    return json.dumps(name[:80], ensure_ascii=False)
