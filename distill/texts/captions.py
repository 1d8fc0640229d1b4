"""Captions of images, for L-cap: from a caption set, or from the dataset itself. Without torch.

A caption set is a JSON file, image path below the dataset's root -> caption; one that lies in the root as
`captions.json` is found there. The service hands it out as JSON lines (`.jsonl`), `{"path", "caption"}` each, of which
the first about an image counts. A dataset without a set may have a caption beside each image, `crane/01.txt` for
`crane/01.jpg`. An image may have none.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from distill.texts.text_templates import TextsError

SET_FILE = "captions.json"
MAX_BYTES = 64 * 1024


def read_captions(root: Path, paths: Sequence[str], given: Path | None = None) -> list[str | None]:
    """The caption of each of `paths` (below `root`), None where there is none; white space is tidied.

    `given`: a caption set from elsewhere. Raises TextsError for a set that is none, or that knows none of the images.
    """
    own = root / SET_FILE
    source = given if given is not None else own if own.is_file() else None
    if source is None:
        return [_tidy(_beside(root / path)) for path in paths]
    said = _read_set(source)
    if not any(path in said for path in paths):
        raise TextsError(f"{source} has a caption for none of the images: its keys are to be paths like {paths[0]}")
    return [_tidy(said.get(path)) for path in paths]


def _read_set(source: Path) -> dict[str, str]:
    try:
        content = source.read_text(encoding="utf-8")
        said = _from_lines(content) if source.suffix == ".jsonl" else json.loads(content)
    except OSError as error:
        raise TextsError(f"{source} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TextsError(f"{source} is not JSON: {error}") from error
    if not isinstance(said, dict) or not all(isinstance(text, str) for text in said.values()):
        raise TextsError(f"{source} is no caption set: it is to hold one object, image path -> caption")
    return said


def _from_lines(content: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for line in content.splitlines():
        row = json.loads(line)
        said.setdefault(row["path"], row["caption"])
    return said


def _beside(image: Path) -> str | None:
    try:
        with image.with_suffix(".txt").open("rb") as opened:
            return opened.read(MAX_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None


def _tidy(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None
