"""What this room speaks of: a label, a phrase of its looks, and the entry that says what is known of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Origin = Literal["llm", "human", "import"]


@dataclass(frozen=True, slots=True)
class Label:
    """A name, and the sense that tells it from another of that name (`crane`: `bird`, or `machine`)."""

    name: str
    sense: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.sense})" if self.sense else self.name


@dataclass(frozen=True, slots=True)
class Phrase:
    """One visible attribute: `bill`, `long and hooked`, and the words that follow "which has": `a long hooked bill`.

    `part` and `value` are empty where a file gave only the phrase.
    """

    part: str
    value: str
    phrase: str

    def as_json(self) -> dict[str, str]:
        return {"part": self.part, "value": self.value, "phrase": self.phrase}


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of one label; `flags` are those of `attributes.checks`."""

    label: str
    sense: str | None = None
    sentence: str = ""
    phrases: tuple[Phrase, ...] = ()
    origin: Origin = "llm"
    flags: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The entry as it stands in files and rows; `entry_from_json` takes it back."""
        return {
            "label": self.label,
            "sense": self.sense,
            "sentence": self.sentence,
            "phrases": [phrase.as_json() for phrase in self.phrases],
            "origin": self.origin,
            "flags": list(self.flags),
        }


def entry_from_json(data: Mapping[str, Any]) -> Entry:
    """The entry that `as_json` wrote; `data` must fit the entries of `set_schema.json` (`EntryModel` says so)."""
    return Entry(
        label=data["label"],
        sense=data.get("sense"),
        sentence=data.get("sentence", ""),
        phrases=tuple(Phrase(p.get("part", ""), p.get("value", ""), p["phrase"]) for p in data.get("phrases", ())),
        origin=data.get("origin", "import"),
        flags=tuple(data.get("flags", ())),
    )
