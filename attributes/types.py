"""Labels, their lines (sentences and phrases), and entries: all lines of one label."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from limbeck.shared.labels import written

Origin = Literal["llm", "human", "import"]
LineKind = Literal["sentence", "phrase", "answer", "contrast", "caption"]


class LineJSON(TypedDict):
    """A line as in files and database rows: empty fields are left out, and a missing `origin` means `import`."""

    kind: LineKind
    text: str
    origin: NotRequired[Origin]
    part: NotRequired[str]
    value: NotRequired[str]
    about: NotRequired[str]
    other_value: NotRequired[str]
    locked: NotRequired[bool]
    strategy: NotRequired[str]
    call: NotRequired[str]


class EntryJSON(TypedDict):
    """An entry as in files."""

    label: str
    sense: NotRequired[str | None]
    lines: NotRequired[list[LineJSON]]
    flags: NotRequired[list[str]]


@dataclass(frozen=True, slots=True)
class Label:
    """A name, and the sense that distinguishes labels with the same name (`crane`: `bird` or `machine`)."""

    name: str
    sense: str | None = None

    def __str__(self) -> str:
        return written(self.name, self.sense)


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence or phrase about a label: the unit of editing, locking, gates and provenance.

    `text` is the input of the teacher's text encoder: a sentence (`sentence`, `answer`, `caption`), or the words after
    "which has" (`phrase`, `contrast`), such as `a long hooked bill`. `part` and `value` are the components of a phrase
    (`bill`, `long and hooked`), empty if a file gave only the phrase. `about` is the text of the question for an
    `answer`, or the other label (as `str(Label)`) for a `contrast`; `other_value` is the value for that other label.
    `strategy` is the prompt (`phrases@1`) and `call` the key of the LLM call that the line came from; both stay when a
    person edits the line (`origin` becomes `human`) and are empty for a line that a person wrote. Later enrichments
    keep a locked line.
    """

    kind: LineKind
    text: str
    part: str = ""
    value: str = ""
    about: str = ""
    other_value: str = ""
    origin: Origin = "llm"
    locked: bool = False
    strategy: str = ""
    call: str = ""

    @property
    def id(self) -> str:
        """Identifies the line in its entry: the first 12 hex digits of a sha256 of its content, without its origin."""
        content = (self.kind, self.text, self.part, self.value, self.about, self.other_value)
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:12]

    @property
    def is_protected(self) -> bool:
        """Whether enrichments must keep the line: it is locked, or a person wrote it."""
        return self.locked or self.origin == "human"

    def as_json(self) -> LineJSON:
        """The line as in files and database rows, without empty fields. `line_from_json` reads it."""
        fields: LineJSON = {"kind": self.kind, "text": self.text, "origin": self.origin}
        if self.part:
            fields["part"] = self.part
        if self.value:
            fields["value"] = self.value
        if self.about:
            fields["about"] = self.about
        if self.other_value:
            fields["other_value"] = self.other_value
        if self.locked:
            fields["locked"] = self.locked
        if self.strategy:
            fields["strategy"] = self.strategy
        if self.call:
            fields["call"] = self.call
        return fields


@dataclass(frozen=True, slots=True)
class Entry:
    """All lines of one label, with their flags (`attributes.flags`)."""

    label: str
    sense: str | None = None
    lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The first sentence, or an empty string."""
        return next((line.text for line in self.lines if line.kind == "sentence"), "")

    @property
    def phrases(self) -> tuple[str, ...]:
        """The texts of the phrases, in order."""
        return tuple(line.text for line in self.lines if line.kind == "phrase")

    def as_json(self) -> EntryJSON:
        """The entry as in files. `entry_from_json` reads it."""
        return {
            "label": self.label,
            "sense": self.sense,
            "lines": [line.as_json() for line in self.lines],
            "flags": list(self.flags),
        }


def line_from_json(data: LineJSON) -> Line:
    """The line that `as_json` wrote. `data` must be valid as a `LineModel` (`attributes.formats.set_schema`)."""
    fields: LineJSON = {"origin": "import", **data}
    return Line(**fields)


def entry_from_json(data: EntryJSON) -> Entry:
    """The entry that `as_json` wrote. `data` must be valid as an `EntryModel` (`attributes.formats.set_schema`)."""
    return Entry(
        label=data["label"],
        sense=data.get("sense"),
        lines=tuple(map(line_from_json, data.get("lines", ()))),
        flags=tuple(data.get("flags", ())),
    )


def sentence_and_phrases(sentence: str, phrases: Iterable[str], *, origin: Origin) -> tuple[Line, ...]:
    """The lines of a sentence and phrases without parts. An empty sentence gives no line."""
    sentences = (Line("sentence", sentence, origin=origin),) if sentence else ()
    return sentences + tuple(Line("phrase", text, origin=origin) for text in phrases)
