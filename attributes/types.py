"""What this room speaks of: a label, a line that says something of it, and the entry that holds its lines."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Origin = Literal["llm", "human", "import"]
LineKind = Literal["sentence", "phrase", "answer", "contrast", "caption"]


@dataclass(frozen=True, slots=True)
class Label:
    """A name, and the sense that tells it from another of that name (`crane`: `bird`, or `machine`)."""

    name: str
    sense: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.sense})" if self.sense else self.name


@dataclass(frozen=True, slots=True)
class Line:
    """One thing said of a label: what is edited, locked, gated and traced back, each for itself.

    `text` is what a teacher reads: a whole sentence (`sentence`, `answer`, `caption`), or the words that follow "which
    has" (`phrase`, `contrast`): `a long hooked bill`. `part` and `value` take a phrase apart (`bill`, `long and
    hooked`) and are empty where a file gave only its words. `about` is the question that an answer answers, or the
    label that a contrast tells apart from (as `str(Label)`), whose own value is `other_value`. `strategy` is the prompt
    (`phrases@1`) and `call` the key of the LLM call that the line came from, also where a person has reworded it since
    (`origin` is then `human`); a line that a person wrote has neither. A locked line is kept by every later enrichment.
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
        """Names the line within its entry: 12 hex digits of what it says, wherever it came from."""
        said = (self.kind, self.text, self.part, self.value, self.about, self.other_value)
        return hashlib.sha256(json.dumps(said, ensure_ascii=False).encode()).hexdigest()[:12]

    @property
    def kept(self) -> bool:
        """Whether an enrichment must leave the line alone: it is locked, or a person wrote it."""
        return self.locked or self.origin == "human"

    def as_json(self) -> dict[str, Any]:
        """The line as it stands in files and rows, empty fields left out; `line_from_json` takes it back."""
        said: dict[str, Any] = {"kind": self.kind, "text": self.text, "origin": self.origin}
        for name in ("part", "value", "about", "other_value", "locked", "strategy", "call"):
            if value := getattr(self, name):
                said[name] = value
        return said


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of one label, line by line; `flags` are those of `attributes.flags`."""

    label: str
    sense: str | None = None
    lines: tuple[Line, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The first sentence, or nothing."""
        return next((line.text for line in self.lines if line.kind == "sentence"), "")

    @property
    def phrases(self) -> tuple[str, ...]:
        """The words of the phrases, in order."""
        return tuple(line.text for line in self.lines if line.kind == "phrase")

    def as_json(self) -> dict[str, Any]:
        """The entry as it stands in files; `entry_from_json` takes it back."""
        return {
            "label": self.label,
            "sense": self.sense,
            "lines": [line.as_json() for line in self.lines],
            "flags": list(self.flags),
        }


def line_from_json(data: Mapping[str, Any]) -> Line:
    """The line that `as_json` wrote; `data` must fit the lines of `set_schema.json` (`LineModel` says so)."""
    return Line(**{"origin": "import", **data})


def entry_from_json(data: Mapping[str, Any]) -> Entry:
    """The entry that `as_json` wrote; `data` must fit the entries of `set_schema.json` (`EntryModel` says so)."""
    return Entry(
        label=data["label"],
        sense=data.get("sense"),
        lines=tuple(map(line_from_json, data.get("lines", ()))),
        flags=tuple(data.get("flags", ())),
    )


def sentence_and_phrases(sentence: str, phrases: Iterable[str], *, origin: Origin) -> tuple[Line, ...]:
    """Lines of a file that has a sentence, phrases without parts, or both; an empty sentence makes no line."""
    said = (Line("sentence", sentence, origin=origin),) if sentence else ()
    return said + tuple(Line("phrase", text, origin=origin) for text in phrases)
