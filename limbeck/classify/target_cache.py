"""Text targets of own labels on disk: encoding thousands of labels takes a CPU minutes, reading them milliseconds.

One file for each list of labels, named by a digest of the labels, of the text tower, and of how texts are written. The
latest `MAX_FILES` are kept.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from limbeck.classify.bundle import TEXT_GRAPH, TOKENIZER, Bundle, Floats

MAX_FILES = 20
FORMAT = "limbeck label targets 1"


def cache_folder() -> Path:
    """The folder of the user, by the XDG rules."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "limbeck" / "label-targets"


def cached_targets(folder: Path | None, bundle: Bundle, labels: Sequence[str], encode: Callable[[], Floats]) -> Floats:
    """The text targets (K, D) of labels: those in `folder`, or else encoded and kept there. None keeps nothing.

    A folder that cannot be written is ignored. Raises BundleError if the bundle has no text tower.
    """
    if folder is None:
        return encode()
    path = folder / f"{_key(bundle, labels)}.npy"
    with suppress(OSError, ValueError, EOFError):
        found: Floats = np.load(path, allow_pickle=False)
        if found.dtype == np.float32 and found.ndim == 2 and len(found) == len(labels):
            os.utime(path)
            return found
    targets = encode()
    with suppress(OSError):
        _keep(path, targets)
    return targets


def _key(bundle: Bundle, labels: Sequence[str]) -> str:
    text = asdict(bundle.text_config())
    digests = [bundle.files[name]["sha256"] for name in (TEXT_GRAPH, TOKENIZER) if name in bundle.files]
    return hashlib.sha256(json.dumps([FORMAT, digests, text, list(labels)]).encode()).hexdigest()


def _keep(path: Path, targets: Floats) -> None:
    """Write a file atomically, and remove the files that were not used for the longest time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as draft:
        try:
            np.save(draft, targets)
            draft.close()
            os.replace(draft.name, path)
        except BaseException:
            os.unlink(draft.name)
            raise
    kept = sorted(path.parent.glob("*.npy"), key=lambda one: one.stat().st_mtime, reverse=True)
    for old in kept[MAX_FILES:]:
        old.unlink(missing_ok=True)
