"""The images of another dataset than that of the evaluation. Imports no torch."""

from dataclasses import dataclass
from pathlib import Path

from distill.data.image_index import ImageIndex


class FurtherSetUnfit(ValueError):
    """A further set of which no image can be measured, so that its results would be missing without a word."""


@dataclass(frozen=True, eq=False, kw_only=True)
class NamedImages:
    """A domain, or unknown things. `root`: folder of the images, if not that of the index."""

    name: str
    image_index: ImageIndex
    root: Path | None = None
