"""What a layout reader returns: the images that it found, and what it left out. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from distill.data.files.exclusion import Exclusion
from distill.data.image_source import ImageSource
from distill.data.layouts.image_columns import ImageColumns, ListedImage
from limbeck.shared.images.file_names import shown_path

__all__ = ["EmptyFolder", "ImageColumns", "ListedImage", "Listing", "SkippedFiles", "WithheldFolder"]

MAX_EXAMPLES = 5
_SHOWN_REASONS = 8


@dataclass
class SkippedFiles:
    """Files and folders that were left out: the number and some examples of each kind."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, path: str) -> None:
        """Count a file or folder; `kind` is a short phrase, such as `not an image (.txt)`."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        examples = self.examples.setdefault(kind, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(shown_path(path))

    def take(self, others: "SkippedFiles") -> None:
        """Count what `others` counted."""
        for kind, count in others.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
            self.examples[kind] = [*self.examples.get(kind, ()), *others.examples[kind]][:MAX_EXAMPLES]

    def lines(self) -> list[str]:
        """One line of text for each of the most frequent reasons."""
        reasons = sorted(self.counts, key=lambda reason: (-self.counts[reason], reason))
        lines = [
            f"left out {self.counts[reason]}, {reason}: {', '.join(self.examples[reason][:2])}"
            + (" …" if self.counts[reason] > 2 else "")
            for reason in reasons[:_SHOWN_REASONS]
        ]
        if rest := reasons[_SHOWN_REASONS:]:
            lines.append(f"left out {sum(self.counts[reason] for reason in rest)} for {len(rest)} more reasons")
        return lines


class EmptyFolder(NamedTuple):
    """A class folder without images: its name as a label, and its path relative to the root."""

    label: str
    path: str


class WithheldFolder(NamedTuple):
    """A class folder that is left out by its name (`distill.data.files.exclusion`), unless a label is called so."""

    label: str
    folder: Path
    part: str | None


@dataclass
class Listing:
    """The images of a folder.

    `aliases`: other names of a label value, tried in order after the value itself (the words of a WordNet id).
    `indices`: whether a label that is a number may be an index from 0 into the vocabulary. `notes`: what a user should
    know about how the layout was read. `used_patterns`: patterns of `ImageSource.exclude` that left something out.
    `has_other_images`: whether images in no part belong to the layout. `label_noun`: what a label value is in this
    layout, for messages. `hint`: what else to do if a label value matches no label.
    """

    layout: str
    images: ImageColumns = field(default_factory=ImageColumns)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    indices: bool = False
    skipped: SkippedFiles = field(default_factory=SkippedFiles)
    notes: list[str] = field(default_factory=list)
    empty_folders: list[EmptyFolder] = field(default_factory=list)
    withheld: list[WithheldFolder] = field(default_factory=list)
    used_patterns: set[str] = field(default_factory=set)
    has_other_images: bool = False
    label_noun: str = "folder"
    hint: str = ""

    def exclusion(self, source: ImageSource) -> Exclusion:
        """The rules by which files and folders are left out; everything left out is reported in this listing."""
        return Exclusion(source.exclude, self.skipped.add, self.used_patterns)

    def report(self) -> list[str]:
        """The notes, and what was left out, as lines of text."""
        return [*map(shown_path, self.notes), *self.skipped.lines()]
