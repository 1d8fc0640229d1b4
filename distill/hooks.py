"""Hooks of a pipeline: progress, stop requests and unusable images, passed as one object. Imports no torch."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from limbeck.shared.images.file_names import shown_path

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PipelineHooks:
    """Callbacks of the steps that read images and encode features; each is optional.

    `on_progress(done, total, unit)`: `unit` is `images` or `views` for image features, `texts` for text features and
    `pictures` for decoding, and `files` for hashing. `should_stop()`: true to stop; the step then raises `Stopped`.
    `on_bad_image(path, reason)`: called once per unusable file. `bad_images`: path -> reason of each unusable file.
    `on_note(text)`: what was left out for another reason, as a sentence.
    """

    on_progress: Callable[[int, int, str], None] | None = None
    should_stop: Callable[[], bool] | None = None
    on_bad_image: Callable[[Path, str], None] | None = None
    bad_images: dict[Path, str] = field(default_factory=dict)
    on_note: Callable[[str], None] | None = None

    def progress(self, done: int, total: int, unit: str) -> None:
        """Report progress."""
        if self.on_progress is not None:
            self.on_progress(done, total, unit)

    def stop_requested(self) -> bool:
        """Whether the step should stop now."""
        return self.should_stop is not None and self.should_stop()

    def note(self, text: str) -> None:
        """Report what was left out."""
        if self.on_note is not None:
            self.on_note(text)

    def bad_image(self, path: Path, reason: str) -> None:
        """Record an unusable file, and report it if it is new."""
        known = path in self.bad_images
        self.bad_images[path] = reason
        if not known and self.on_bad_image is not None:
            self.on_bad_image(path, reason)


def logging_hooks() -> PipelineHooks:
    """Hooks that only log each unusable file."""
    return PipelineHooks(
        on_bad_image=lambda path, reason: log.warning("image %s is left out: %s", shown_path(path), reason)
    )
