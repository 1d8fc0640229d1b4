"""Checks a bundle against its manifest: every file must have the recorded size and sha256. Imports no torch.

`python -m distill.bundle.verify FOLDER` prints the faults and exits with 1, or reports that all files are unchanged.
With `--partial`, files that were not downloaded (such as the pairing) are no fault.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path, PurePosixPath
from typing import NotRequired, TypedDict

from distill.json_types import StudentPreprocess

MANIFEST_FILE = "manifest.json"
MANIFEST_FORMAT = "limbeck bundle 1"


class ManifestFile(TypedDict):
    """A file in a manifest."""

    path: str
    sha256: str
    size: int


class ManifestStudent(TypedDict):
    """The student in a manifest."""

    name: str
    width: int
    preprocess: StudentPreprocess


class ManifestTeacher(TypedDict):
    """The teacher in a manifest."""

    ref: str
    digest: str
    preprocess_digest: str


class MadeFrom(TypedDict):
    """The inputs in a manifest; only the field that is read."""

    teacher: ManifestTeacher


class Manifest(TypedDict):
    """The manifest of a bundle. `left_out`: optional part that the bundle lacks -> reason; absent in older bundles."""

    format: str
    student: ManifestStudent
    made_from: MadeFrom
    left_out: NotRequired[dict[str, str]]
    files: list[ManifestFile]


class BundleError(ValueError):
    """A bundle that cannot be written, or that differs from its manifest; the message names each fault."""


def file_sha256(path: Path) -> str:
    """The sha256 of a file, in hexadecimal; reads the file in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_bundle(folder: Path, *, partial: bool = False) -> Manifest:
    """The manifest of the bundle in `folder`, after checking the size and sha256 of every file.

    `partial`: missing files are no fault. Raises BundleError naming every file that is missing, changed, or not in the
    manifest, and for an unreadable manifest.
    """
    manifest = _read_manifest(folder)
    faults: list[str] = []
    listed: set[str] = set()
    for entry in manifest["files"]:
        name = entry["path"]
        listed.add(name)
        path = folder / name
        if not path.is_file():
            faults += [] if partial else [f"{name} is missing"]
        elif path.stat().st_size != entry["size"]:
            faults.append(f"{name} has {path.stat().st_size} bytes, not {entry['size']}")
        elif file_sha256(path) != entry["sha256"]:
            faults.append(f"{name} has a different sha256 than the manifest")
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    faults += [f"{name} is not in the manifest" for name in sorted(present - listed - {MANIFEST_FILE})]
    if faults:
        raise BundleError(f"{folder}: {'; '.join(faults)}")
    return manifest


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        manifest: Manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != MANIFEST_FORMAT:
            raise BundleError(f"{path} has the manifest format {manifest['format']!r}, not {MANIFEST_FORMAT!r}")
        names = [PurePosixPath(entry["path"]) for entry in manifest["files"]]
        _ = [(entry["size"], entry["sha256"]) for entry in manifest["files"]]  # raises KeyError if one is missing
    except FileNotFoundError as error:
        raise BundleError(f"{folder} holds no {MANIFEST_FILE}: it is not a bundle, or is incomplete") from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path} cannot be read as a manifest: {error!r}") from error
    for name in names:
        if name.is_absolute() or ".." in name.parts:
            raise BundleError(f"{path} names {name}, which is outside the bundle")
    return manifest


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m distill.bundle.verify", description="Check a bundle against its manifest."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--partial", action="store_true", help="accept missing files")
    arguments = parser.parse_args()
    try:
        manifest = verify_bundle(arguments.folder, partial=arguments.partial)
    except BundleError as error:
        sys.exit(str(error))
    print(f"{arguments.folder}: {len(manifest['files'])} files checked, none changed")


if __name__ == "__main__":
    main()
