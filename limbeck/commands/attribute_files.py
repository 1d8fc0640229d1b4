"""Files of `limbeck attributes import` and `export`: contents, folders of Hugging Face datasets, maps, the report."""

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.commands.common import BadInput
from limbeck.shared.attribute_files.decoding import binary_format, decode
from limbeck.shared.attribute_files.matching import LabelMap
from limbeck.shared.attribute_files.reading import FormatError
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from limbeck.models import ImportReport, Match

_DATA_SUFFIXES = (".parquet", ".arrow", ".jsonl", ".csv")
_SHOWN = 10
_OPTIONS = {  # what the service says of fields, for the command
    "post partial: true to leave them out": "--partial leaves them out",
    "name their labels in map": "name their labels with --map FILE",
    "name them in map": "name them with --map FILE",
}


def read_content(path: Path) -> tuple[str | bytes, str]:
    """(content, encoding) of a file: text, or the bytes of a binary format. A folder becomes a zip archive.

    Raises BadInput.
    """
    if path.is_dir():
        return _zipped(path), ""
    content = _read_bytes(path)
    return (content, "") if binary_format(content) is not None else _decoded(path, content)


def read_document(path: Path) -> tuple[str, str]:
    """(text, encoding) of a text file. Raises BadInput."""
    return _decoded(path, _read_bytes(path))


def read_label_map(path: Path) -> LabelMap:
    """The map of a JSON object, or of two columns of CSV; an empty second column leaves the label out.

    Raises BadInput.
    """
    text, _ = read_document(path)
    if text.lstrip().startswith("{"):
        try:
            mapping = json.loads(text)
        except ValueError as error:
            raise BadInput(f"{path}: is not JSON: {error}") from None
        for key, target in mapping.items():
            if not _is_target(target):
                raise BadInput(f"{path}: {key!r} must have a label, a list of labels or null")
        return {key: target for key, target in mapping.items()}
    separator = max(",;\t", key=text.partition("\n")[0].count)
    pairs: dict[str, str | None] = {}
    for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator), start=1):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) < 2 or any(cell.strip() for cell in row[2:]) or not row[0].strip():
            raise BadInput(f"{path}: row {number} must have two columns, label of the file and label of the vocabulary")
        if row[0].strip() in pairs:
            raise BadInput(f"{path}: row {number} names {row[0].strip()!r} a second time")
        pairs[row[0].strip()] = row[1].strip() or None
    return pairs


@contextmanager
def faults_of_file(path: Path) -> Iterator[None]:
    """Turn the service's list of faults of a file into BadInput, with the options of the command as remedy."""
    from limbeck.errors import Problem

    try:
        yield
    except Problem as problem:
        if problem.status != 422 or not problem.errors:
            raise
        detail = problem.detail
        for field, option in _OPTIONS.items():
            detail = detail.replace(field, option)
        if len(problem.errors) > 1:
            detail = detail.replace(f"; the first: {problem.errors[0].detail}", "")
            detail += ": " + "; ".join(error.detail for error in problem.errors)
        raise BadInput(f"{path}: {detail}") from None


def unpack(archive: bytes, folder: Path) -> None:
    """Write the files of an archive of the service into a new or empty folder. Raises BadInput."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise BadInput(f"{folder} is not empty; give --out another folder")
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            files.extractall(folder)  # zipfile removes absolute paths and ".."
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}") from None


def report_lines(report: "ImportReport", encoding: str) -> Iterator[str]:
    """The report of an import for a terminal: only what is not zero."""
    encoding = encoding or report.encoding
    yield f"read as {report.read_as}" + (f" ({encoding})" if encoding not in ("", "UTF-8") else "")
    normalised = "with normalised white space or invisible characters"
    counts = (
        (report.normalized_texts, f"text {normalised}", f"texts {normalised}"),
        (report.normalized_labels, f"label {normalised}", f"labels {normalised}"),
        (report.dropped_characters, "character dropped", "characters dropped"),
        (report.empty_texts, "empty text dropped", "empty texts dropped"),
        (report.repeated_texts, "repeated text, which is kept", "repeated texts, which are kept"),
    )
    yield from (counted(number, noun, nouns) for number, noun, nouns in counts if number)
    yield f"{counted(report.num_exact, 'label')} matched exactly"
    for number, matches, how in (
        (report.num_normalized, report.normalized, "by normalisation"),
        (report.num_mapped, report.mapped, "by the map"),
        (report.num_shared, report.shared, "without a sense, and were assigned to each sense"),
    ):
        if number:
            yield f"{counted(number, 'label')} matched {how}: {_listed(matches, number)}"
    if report.num_without_entry:
        names = ", ".join(report.without_entry[:_SHOWN])
        more = ", …" if report.num_without_entry > _SHOWN else ""
        lack = counted(report.num_without_entry, "label of the vocabulary has", "labels of the vocabulary have")
        yield f"{lack} no attributes in the file: {names}{more}"
    if report.num_left_out:
        yield f"{report.num_left_out:,} left out:"
    yield from (f"  {one.detail}" for one in report.left_out)
    if encoding == "Windows-1252" and not any(encoding in warning for warning in report.warnings):
        yield "warning: the file is not UTF-8 and was read as Windows-1252; check the accents"
    yield from (f"warning: {warning}" for warning in report.warnings)


def _listed(matches: "Sequence[Match]", number: int) -> str:
    shown = "; ".join(f"{one.label} → {', '.join(one.labels)}" for one in matches[:_SHOWN])
    return shown + ("; …" if number > _SHOWN else "")


def _zipped(folder: Path) -> bytes:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _DATA_SUFFIXES and path.is_file())
    if not files:
        raise BadInput(f"{folder}: has no {', '.join(_DATA_SUFFIXES)} file")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.writestr(path.relative_to(folder).as_posix(), _read_bytes(path))
    return out.getvalue()


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def _decoded(path: Path, content: bytes) -> tuple[str, str]:
    try:
        return decode(content)
    except FormatError as error:
        raise BadInput(f"{path}: {error}") from None


def _is_target(target: object) -> bool:
    return (
        target is None
        or isinstance(target, str)
        or (isinstance(target, list) and all(isinstance(one, str) for one in target))
    )
