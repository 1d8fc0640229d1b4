"""Captions of images, for L-cap: from a caption set or from the dataset. Imports no torch.

A caption set is a JSON object, image path below the dataset's root -> caption. The service exports it as JSON lines
(`.jsonl`) of `{"path", "caption"}`; the first line for an image counts. Without one, a dataset has its captions in a
column of its table (kept in its image index), in `captions.json` in the root, or in a text file per image,
`crane/01.txt` for `crane/01.jpg`. The first of these that is there is used for all images. Captions are optional.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from distill.data.files.regular_files import open_regular, read_regular
from distill.texts.text_templates import TextsError
from limbeck.shared.images.file_names import shown_path

SET_FILE = "captions.json"
MAX_BYTES = 64 * 1024


def read_captions(
    root: Path, paths: Sequence[str], given: Path | None = None, listed: Sequence[str] | None = None
) -> list[str | None]:
    """The caption of each of `paths` (below `root`), or None; white space is collapsed.

    `given`: a caption set to use instead of the dataset's captions. `listed`: captions of the image index, empty where
    there is none. Raises TextsError for an invalid set, or for a set without a caption of any of the images.
    """
    if given is None and listed is not None and any(listed):
        return [_tidy(text) for text in listed]
    default = root / SET_FILE
    source = given if given is not None else default if default.is_file() else None
    if source is None:
        return [_tidy(_caption_file(root / path)) for path in paths]
    captions = _read_set(source, Path.read_bytes if given is not None else read_regular)
    if not any(path in captions for path in paths):
        raise TextsError(
            f"{source} has a caption for none of the images: its keys must be paths like {shown_path(paths[0])}"
        )
    return [_tidy(captions.get(path)) for path in paths]


def _read_set(source: Path, read: Callable[[Path], bytes]) -> dict[str, str]:
    """`read`: the data root holds a file of the dataset, but not one of the artefacts."""
    try:
        content = read(source).decode("utf-8")
        captions = _from_lines(content) if source.suffix == ".jsonl" else json.loads(content)
    except OSError as error:
        raise TextsError(f"{source} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TextsError(f"{source} is not JSON: {error}") from error
    if not isinstance(captions, dict) or not all(isinstance(text, str) for text in captions.values()):
        raise TextsError(f"{source} is not a caption set: it must be one object, image path -> caption")
    return captions


def _from_lines(content: str) -> dict[str, str]:
    captions: dict[str, str] = {}
    for line in content.split("\n"):
        if not line.strip():
            continue
        row = json.loads(line)
        captions.setdefault(row["path"], row["caption"])
    return captions


def _caption_file(image: Path) -> str | None:
    try:
        with open_regular(image.with_suffix(".txt")) as opened:
            return opened.read(MAX_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None


def _tidy(text: str | None) -> str | None:
    return " ".join((text or "").split()) or None
