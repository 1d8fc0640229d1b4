"""Rules of downloading a bundle that both clients share: the manifest, the selection of files, and their digests."""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from limbeck.errors import BrokenDownload, MissingPart
from limbeck.models import ManifestEntry

BUNDLE_PARTS = ("image", "pairing", "onnx", "targets")
MANIFEST = "manifest.json"

OnBytes = Callable[[int, int], None]


def manifest_files(manifest: bytes) -> list[ManifestEntry]:
    """The files that a manifest lists. Raises BrokenDownload for an invalid manifest or a path outside the bundle."""
    try:
        files = [ManifestEntry.model_validate(entry) for entry in json.loads(manifest)["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise BrokenDownload(f"{MANIFEST} cannot be read: {error}") from None
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or not path.parts or ".." in path.parts or "\\" in file.path or ":" in file.path:
            raise BrokenDownload(f"{MANIFEST} lists {file.path!r}, which is not a path inside the bundle")
    return files


def select_files(
    files: Iterable[ManifestEntry], parts: Iterable[str] | None, *, optional: Iterable[str]
) -> list[ManifestEntry]:
    """The files in the folders `parts` (None: all folders), and all files outside the `optional` folders."""
    excluded = set() if parts is None else set(optional) - set(parts)
    return [file for file in files if PurePosixPath(file.path).parts[0] not in excluded]


def check_parts(manifest: bytes, parts: Iterable[str]) -> None:
    """Raise MissingPart for a folder of `parts` that the bundle lacks; the manifest has the reason if it is known."""
    present = {PurePosixPath(file.path).parts[0] for file in manifest_files(manifest)}
    left_out = json.loads(manifest).get("left_out") or {}
    for part in parts:
        if part not in present:
            reason = f" ({left_out[part]})" if part in left_out else ""
            raise MissingPart(f"the checkpoint has no part {part}{reason}: download it without this part")


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
