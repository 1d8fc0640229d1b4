"""Optional parts of a bundle: a part that fails is left out with its reason, and the bundle appears without it."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from distill import Stopped
from distill.bundle.verify import BundleError
from limbeck.shared.text import first_line

CARD_FILE = "README.md"
ONNX, ONNX_UINT8, ONNX_INT8, ONNX_TEXT = "onnx", "image-uint8.onnx", "image-int8.onnx", "text.onnx"
OPTIONAL_PARTS = {
    "pairing": ("pairing",),
    ONNX: ("onnx",),
    ONNX_UINT8: (f"onnx/{ONNX_UINT8}",),
    ONNX_INT8: (f"onnx/{ONNX_INT8}",),
    ONNX_TEXT: (f"onnx/{ONNX_TEXT}", "onnx/tokenizer.json"),
    "plots": (
        "loss.png",
        "accuracy.png",
        "reliability.png",
        "confusions.png",
        "open_set.png",
        "domains.png",
        "corruptions.png",
    ),
    "card": (CARD_FILE,),
}
"""Optional part -> its files and folders."""

ResultT = TypeVar("ResultT")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OptionalParts:
    """Writes optional parts into a draft. `left_out`: part -> reason; a part that fails is added and removed.

    `raises_transient`: raise errors of disk and memory, which another attempt may not meet. `failures`: other errors.
    """

    draft: Path
    left_out: dict[str, str]
    raises_transient: bool = False
    failures: list[Exception] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        """Whether another attempt would leave out the same parts; false if a disk or the Hub was the cause."""
        return not any(isinstance(error.__cause__, OSError) for error in self.failures)

    def write(self, part: str, write: Callable[[], ResultT]) -> ResultT | None:
        """The result of `write`; None if the part is left out. Raises Stopped, and what `raises_transient` says."""
        if part in self.left_out:
            return None
        try:
            return write()
        except Stopped:
            raise
        except Exception as error:  # any error: the trained weights must be kept if an optional part fails
            if self.raises_transient and isinstance(error, OSError | MemoryError | torch.OutOfMemoryError):
                raise
            log.warning("the bundle has no %s: %s", part, error, exc_info=not isinstance(error, BundleError | OSError))
            self.left_out[part] = first_line(error)
            self.failures.append(error)
        for name in OPTIONAL_PARTS[part]:
            path = self.draft / name
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        return None
