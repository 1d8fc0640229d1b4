"""The attribute set that `python -m attributes` writes: the entries of an earlier run, and new entries as they arrive.

Each result is appended to a journal beside the file (`set.json.part`), one entry per line. A question is answered if
its label has a line from its call. A label whose lines came from no call is written by a person and stays unchanged.
"""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO, cast

from attributes.cli.input_files import InvalidInput, parse_file, read_text
from attributes.formats.limbeck_json import FORMAT, VERSION, AttributeFile, read_json, write_json
from attributes.formats.set_schema import EntryModel, SetModel
from attributes.types import Entry, EntryJSON, Label, entry_from_json
from limbeck.shared.labels import LabelKey, label_key


class OutputFile:
    """An attribute set that is written to `path`. It starts with the entries of `path` and of its journal, if any.

    Raises InvalidInput if they are invalid, or were made with another domain, strategy or model.
    """

    def __init__(self, path: Path, *, domain: str, strategy: str, model: str) -> None:
        self.path = path
        self.journal_path = path.with_name(path.name + ".part")
        self.made_with = {"domain": domain, "strategy": strategy, "model": model}
        self.entries: dict[LabelKey, Entry] = {}
        self._journal: TextIO | None = None
        if path.exists():
            self._add_file(parse_file(path, read_json), path)
        if self.journal_path.exists():
            self._add_journal()

    def is_missing(self, label: Label, key: str) -> bool:
        """Whether the label has no lines of the question with this cache key, and is not written by a person."""
        entry = self.entries.get(label_key(label.name, label.sense))
        calls = {line.call for line in entry.lines} - {""} if entry else set()
        return entry is None or (bool(calls) and key not in calls)

    def add(self, entry: Entry) -> None:
        """Add the lines of one result. They are in the journal when this returns, so a killed process loses none."""
        if self._journal is None:
            self._journal = self.journal_path.open("a", encoding="utf-8")
            if self._journal.tell() == 0:
                head = {"format": FORMAT, "version": VERSION, **self.made_with}
                self._journal.write(json.dumps(head, ensure_ascii=False) + "\n")
        self._journal.write(json.dumps(entry.as_json(), ensure_ascii=False) + "\n")
        self._journal.flush()
        self._merge(entry)

    def finish(self, labels: Sequence[Label], keys: Callable[[Label], Sequence[str]]) -> int:
        """Write the set in the order of `labels`, followed by entries of other labels. Returns the number of those.

        `keys` returns the cache keys of the questions of a label, in the order of its lines. Lines of other questions
        are dropped.
        """
        if self._journal is not None:
            self._journal.close()
        by_key = {label_key(label.name, label.sense): label for label in labels}
        others = [entry for key, entry in self.entries.items() if key not in by_key]
        listed = [_in_order(self.entries[key], keys(label)) for key, label in by_key.items() if key in self.entries]
        new_path = self.path.with_name(self.path.name + ".new")
        with new_path.open("w", encoding="utf-8") as file:
            file.writelines(write_json([*listed, *others], **self.made_with))
            file.flush()
            os.fsync(file.fileno())
        new_path.replace(self.path)
        self.journal_path.unlink(missing_ok=True)
        return len(others)

    def _merge(self, entry: Entry) -> None:
        key = label_key(entry.label, entry.sense)
        if old := self.entries.get(key):
            flags = tuple(dict.fromkeys([*old.flags, *entry.flags]))
            entry = replace(old, lines=(*old.lines, *entry.lines), flags=flags)
        self.entries[key] = entry

    def _add_file(self, file: AttributeFile, source: Path) -> None:
        for name, new in self.made_with.items():
            old = getattr(file, name)
            if old is not None and old != new:
                raise InvalidInput(f"{source} was made with {name} {old!r}, not {new!r}; give another --out")
        for entry in file.entries:
            self._merge(entry)

    def _add_journal(self) -> None:
        """Add the entries of the journal, and remove an incomplete last line, which a killed process left."""
        *complete, _ = read_text(self.journal_path).split("\n")
        entries: list[Entry] = []
        for number, line in enumerate(complete, start=1):
            try:
                if number == 1:
                    head = SetModel.model_validate({**json.loads(line), "entries": []})
                else:
                    entries.append(entry_from_json(cast(EntryJSON, EntryModel.model_validate_json(line).model_dump())))
            except (ValueError, TypeError):
                fault = f"line {number} is damaged; fix it, or remove the file to continue from {self.path.name}"
                raise InvalidInput(f"{self.journal_path}: {fault}") from None
        if complete:
            made_with = head.model_dump(include=set(self.made_with))
            self._add_file(AttributeFile(entries=entries, **made_with), self.journal_path)
        self.journal_path.write_text("".join(f"{line}\n" for line in complete), encoding="utf-8")


def _in_order(entry: Entry, keys: Iterable[str]) -> Entry:
    """The entry with the lines of people first, then the lines of each call in the order of `keys`.

    Samples with the same text are all kept, because each counts in a mean.
    """
    return replace(entry, lines=tuple(line for key in ["", *keys] for line in entry.lines if line.call == key))
