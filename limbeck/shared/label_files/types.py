"""Values of the label file reader: the result, its labels, faults, and the intermediate rows."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from limbeck.shared.labels import LabelPair, quoted
from limbeck.shared.text import counted

MAX_FAULTS = 20
MAX_EXAMPLES = 3


class Text(str):
    """A text of a document, with the line on which it starts; None if the parser does not know it."""

    line: int | None

    def __new__(cls, value: str, line: int | None = None) -> "Text":
        text = super().__new__(cls, value)
        text.line = line
        return text


class Pairs:
    """The members of an object in order. A repeated key stays, so that no label is lost."""

    def __init__(self, members: Iterable[tuple[str, "Value"]] = ()) -> None:
        self.members = list(members)

    def __iter__(self) -> Iterator[tuple[str, "Value"]]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def names(self) -> list[str]:
        """The keys."""
        return [key for key, _ in self.members]

    def values(self) -> list["Value"]:
        """The values."""
        return [value for _, value in self.members]

    def find(self, key: str) -> "Value":
        """The first value of a key, or None."""
        return next((value for name, value in self.members if name == key), None)


Value = str | int | float | bool | None | list["Value"] | Pairs
"""A value of a JSON, YAML or Python document. An object is `Pairs`."""


def line_of(value: object) -> int | None:
    """The line on which a text, or the first text inside a list or object, starts, if it is known."""
    if isinstance(value, Pairs):
        return next((line for name, inner in value if (line := line_of(name) or line_of(inner))), None)
    if isinstance(value, list):
        return next((line for inner in value if (line := line_of(inner))), None)
    return value.line if isinstance(value, Text) else None


@dataclass(frozen=True, kw_only=True)
class FileLabel:
    """A label of a file. `ids`: its identifiers in the file, such as `wnid` and `index`, and its `aliases`.

    They are metadata and are not part of a prompt.
    """

    name: str
    sense: str | None = None
    ids: dict[str, str | list[str]] = field(default_factory=dict)
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """The labels of a file, and how it was read: the form in words, notes on what was changed or dropped, warnings."""

    labels: list[FileLabel]
    read_as: str
    notes: list[str]
    warnings: list[str]

    @property
    def pairs(self) -> list[LabelPair]:
        """(name, sense) of each label."""
        return [(label.name, label.sense) for label in self.labels]

    def report(self) -> str:
        """The report as one text: `read as …; 1,000 labels; …; warning: …`."""
        warnings = [f"warning: {warning}" for warning in self.warnings]
        return "; ".join([f"read as {self.read_as}", counted(len(self.labels), "label"), *self.notes, *warnings])


@dataclass(frozen=True)
class LabelFault:
    """A label that cannot be used. `detail` is a predicate, such as `is blank`; `position` counts labels from 0."""

    detail: str
    line: int | None = None
    position: int | None = None
    field: str = "name"
    label: str = ""

    def __str__(self) -> str:
        of = "the sense of " if self.field == "sense" else ""
        subject = f"{of}label {quoted(self.label)} " if self.position is not None else ""
        place = f"line {self.line}: " if self.line else ""
        number = f"(label {self.position + 1}) " if self.position is not None and not self.line else ""
        return f"{place}{subject}{number}{self.detail}"


class LabelFileError(ValueError):
    """A file from which no labels can be taken. `faults`: the first invalid labels; `num_faults`: how many there are.
    `is_empty`: there are no labels.

    The message says what the file is, or what its labels lack, and what to do.
    """

    def __init__(
        self, detail: str, faults: Sequence[LabelFault] = (), num_faults: int = 0, *, is_empty: bool = False
    ) -> None:
        super().__init__(detail)
        self.is_empty = is_empty
        self.faults = tuple(faults)
        self.num_faults = num_faults or len(self.faults)


def faults_error(faults: Sequence[LabelFault]) -> LabelFileError:
    """The error of invalid labels, which lists the first of them."""
    shown = faults[:MAX_FAULTS]
    more = f"; and {len(faults) - len(shown):,} more" if len(faults) > len(shown) else ""
    return LabelFileError("; ".join(map(str, shown)) + more, shown, len(faults))


@dataclass(kw_only=True)
class FileRow:
    """A label while the file is being read."""

    name: str
    line: int | None = None
    sense: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)  # texts that can tell labels of the same name apart


@dataclass(kw_only=True)
class LabelDraft:
    """The labels of a file before its names are cleaned.

    `has_line_forms`: the names are whole lines, which can hold ids. `index_key`: the id that counts the labels, which
    states their order. `sense_remedy`: how to give a sense in this form.
    """

    rows: list[FileRow]
    read_as: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    has_line_forms: bool = False
    index_key: str = ""
    sense_remedy: str = "give each a sense after a tab"

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


def examples(texts: Sequence[str]) -> str:
    """The first texts in quotes: `"a", "b" …`."""
    shown = ", ".join(quoted(text) for text in texts[:MAX_EXAMPLES])
    return f"{shown} …" if len(texts) > MAX_EXAMPLES else shown
