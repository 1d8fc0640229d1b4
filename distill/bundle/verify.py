"""Checks a bundle against its manifest: every file must have the recorded size and sha256. Imports no torch.

`python -m distill.bundle.verify FOLDER` prints the faults and exits with 1, or reports that all files are unchanged.
With `--partial`, files that were not downloaded (such as the pairing) are no fault.
"""

import argparse
import sys
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from distill.json_types import StudentPreprocess
from limbeck.shared.bundle.files import MANIFEST_FILE as MANIFEST_FILE
from limbeck.shared.bundle.files import MANIFEST_FORMAT as MANIFEST_FORMAT
from limbeck.shared.bundle.files import BundleError as BundleError
from limbeck.shared.bundle.files import ManifestFile, verify_files
from limbeck.shared.bundle.files import file_sha256 as file_sha256


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


def verify_bundle(folder: Path, *, partial: bool = False) -> Manifest:
    """The manifest of the bundle in `folder`, after checking the size and sha256 of every file (`verify_files`).

    `partial`: missing files are no fault. Raises BundleError.
    """
    return cast(Manifest, verify_files(folder, partial=partial))


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
