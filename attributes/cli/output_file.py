"""The set that `python -m attributes` writes: what a former run left, and what this one adds, as it arrives.

Each answer goes to a journal beside the file (`set.json.part`), a line each. A question counts as answered where a
line of its label came from its call; a label whose lines came from no call is somebody's own, and is left alone.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO, TypeVar

from attributes.formats.common import FormatError
from attributes.formats.limbeck_json import FORMAT, VERSION, AttributeFile, read_json, write_json
from attributes.formats.set_schema import EntryModel, SetModel
from attributes.types import Entry, Label, entry_from_json

T = TypeVar("T")
Identity = tuple[str, str]


class InvalidInput(Exception):
    """What the user gave cannot be used; the message is the one line that they see."""


class OutputFile:
    """An attribute set on its way to `path`."""

    def __init__(self, path: Path, *, domain: str, strategy: str, model: str) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.asked_with = {"domain": domain, "strategy": strategy, "model": model}
        self.entries: dict[Identity, Entry] = {}
        self._journal: TextIO | None = None
        if path.exists():
            self._take(parse_file(path, read_json), path)
        if self.part.exists():
            self._take_part()

    def wants(self, label: Label, key: str) -> bool:
        """Whether the question with this key has still to be asked about the label."""
        entry = self.entries.get(label_key(label.name, label.sense))
        calls = {line.call for line in entry.lines} - {""} if entry else set()
        return entry is None or (bool(calls) and key not in calls)

    def add(self, entry: Entry) -> None:
        """Keep what one answer says; it is on its way to the disk when this returns, and a killed process loses
        none."""
        if self._journal is None:
            self._journal = self.part.open("a", encoding="utf-8")
            if self._journal.tell() == 0:
                head = {"format": FORMAT, "version": VERSION, **self.asked_with}
                self._journal.write(json.dumps(head, ensure_ascii=False) + "\n")
        self._journal.write(json.dumps(entry.as_json(), ensure_ascii=False) + "\n")
        self._journal.flush()
        self._merge(entry)

    def finish(self, labels: Sequence[Label], keys: Callable[[Label], Sequence[str]]) -> int:
        """Write the set in the order of the labels, then what it has beyond them; the number of those.

        `keys` are a label's questions in order, and so is what was answered; answers to others are left out.
        """
        if self._journal is not None:
            self._journal.close()
        asked = {label_key(label.name, label.sense): label for label in labels}
        beyond = [entry for key, entry in self.entries.items() if key not in asked]
        chosen = [_in_order(self.entries[key], keys(label)) for key, label in asked.items() if key in self.entries]
        fresh = self.path.with_name(self.path.name + ".new")
        with fresh.open("w", encoding="utf-8") as file:
            file.writelines(write_json([*chosen, *beyond], **self.asked_with))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        self.part.unlink(missing_ok=True)
        return len(beyond)

    def _merge(self, entry: Entry) -> None:
        key = label_key(entry.label, entry.sense)
        if before := self.entries.get(key):
            flags = tuple(dict.fromkeys([*before.flags, *entry.flags]))
            entry = replace(before, lines=(*before.lines, *entry.lines), flags=flags)
        self.entries[key] = entry

    def _take(self, file: AttributeFile, source: Path) -> None:
        for key, asked in self.asked_with.items():
            before = getattr(file, key)
            if before is not None and before != asked:
                raise InvalidInput(f"{source} was made with {key} {before!r}, not {asked!r}; give another --out")
        for entry in file.entries:
            self._merge(entry)

    def _take_part(self) -> None:
        *whole, _ = read_text(self.part).split("\n")  # a run killed in mid-write leaves the last line without its end
        entries: list[Entry] = []
        for number, line in enumerate(whole, start=1):
            try:
                if number == 1:
                    asked_with = SetModel.model_validate({**json.loads(line), "entries": []})
                else:
                    entries.append(entry_from_json(EntryModel.model_validate_json(line).model_dump()))
            except (ValueError, TypeError):
                fault = f"line {number} is damaged; mend it, or move the file away to start from {self.path.name}"
                raise InvalidInput(f"{self.part}: {fault}") from None
        if whole:
            head = asked_with.model_dump(include=set(self.asked_with))
            self._take(AttributeFile(entries=entries, **head), self.part)
        self.part.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")


def _in_order(entry: Entry, keys: Iterable[str]) -> Entry:
    """Somebody's own lines, then those of the calls in order. Two samples that say the same both stay: each was asked
    for, and counts in a mean."""
    return replace(entry, lines=tuple(line for key in ["", *keys] for line in entry.lines if line.call == key))


def label_key(name: str, sense: str | None) -> Identity:
    """What makes two labels the same."""
    return name.casefold(), (sense or "").casefold()


def read_text(path: Path) -> str:
    """The text of a file. Raises BadInput."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is not UTF-8 (byte {error.start})"
        raise InvalidInput(f"{path}: {reason}") from None


def parse_file(path: Path, read: Callable[[str], T]) -> T:
    """What `read` makes of a file. Raises BadInput."""
    try:
        return read(read_text(path))
    except FormatError as error:
        raise InvalidInput(f"{path}: {error}") from None
