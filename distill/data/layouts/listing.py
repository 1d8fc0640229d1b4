"""What a layout reader returns: the images that it found, and what it left out. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_EXAMPLES = 5


class ListedImage(NamedTuple):
    """An image as its layout gives it.

    `path`: relative to the root, with forward slashes; also the path of a member of a shard (`distill.data.shards`).
    `labels`: the names (or indices) of its labels; empty for an unlabelled image. `part`: as the layout names it, such
    as `train`, `val` or `test`.
    """

    path: str
    labels: tuple[str, ...]
    part: str | None = None
    caption: str | None = None


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
            examples.append(path)


@dataclass
class Listing:
    """The images of a folder.

    `aliases`: other names of a label value, tried in order after the value itself (the words of a WordNet id).
    `indices`: whether a label that is a number may be an index from 0 into the vocabulary. `notes`: what a user should
    know about how the layout was read.
    """

    layout: str
    images: list[ListedImage] = field(default_factory=list)
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    indices: bool = False
    skipped: SkippedFiles = field(default_factory=SkippedFiles)
    notes: list[str] = field(default_factory=list)
