"""Files that every bundle has, also that of a checkpoint of a running training: targets, labels and manifest.

K labels.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import open_clip
import timm

from distill.bundle.student_files import StudentWeights
from distill.bundle.verify import MANIFEST_FILE, MANIFEST_FORMAT, file_sha256
from distill.data.atomic_files import write_bytes
from distill.json_types import JSONObject
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets


class BundleFile(NamedTuple):
    """A file of a bundle: path relative to the bundle, sha256 in hexadecimal, and size in bytes."""

    path: str
    sha256: str
    size: int


def bundle_origin(provenance: JSONObject, teacher: Teacher) -> JSONObject:
    """`made_from` of the manifest: `provenance` with the teacher and the versions of the libraries."""
    return {
        **provenance,
        "teacher": {
            "ref": teacher.ref,
            "digest": teacher.digest,
            "preprocess_digest": teacher.preprocess_digest,
            "weights": cast(JSONObject, teacher.weights),
        },
        "versions": {"timm": timm.__version__, "open_clip": open_clip.__version__},
    }


def write_targets(folder: Path, targets: TextTargets, labels: Sequence[Mapping[str, object]]) -> None:
    """Write `text_targets.safetensors` and `labels.json`. `labels`: K mappings in the order of the targets."""
    targets.save(folder / "text_targets.safetensors")
    entries = [{**entry, "prompts": list(prompts)} for entry, prompts in zip(labels, targets.prompts, strict=True)]
    shortened = [entry._asdict() for entry in targets.truncated]
    write_json(folder / "labels.json", {"labels": entries, "shortened": shortened})


def write_manifest(
    folder: Path, student: StudentWeights, made_from: JSONObject, left_out: Mapping[str, str]
) -> list[BundleFile]:
    """Write the manifest of all files in the folder. Returns them, the manifest last."""
    files = [
        BundleFile(path.relative_to(folder).as_posix(), file_sha256(path), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    manifest = {
        "format": MANIFEST_FORMAT,
        "student": {"name": student.name, "width": student.width, "preprocess": student.preprocess},
        "made_from": made_from,
        "left_out": left_out,
        "files": [file._asdict() for file in files],
    }
    write_json(folder / MANIFEST_FILE, manifest)
    path = folder / MANIFEST_FILE
    return [*files, BundleFile(MANIFEST_FILE, file_sha256(path), path.stat().st_size)]


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, atomically."""
    write_bytes(path, encoded(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"))


def encoded(text: str) -> bytes:
    """UTF-8. A byte of a file name that is not UTF-8 becomes `\\udcXX`, from which JSON restores the name."""
    return text.encode(errors="backslashreplace")
