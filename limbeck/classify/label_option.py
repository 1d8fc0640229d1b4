"""The labels of `--labels`: a label file of any form that is read elsewhere, or names separated by commas."""

from pathlib import Path

from limbeck.shared.label_files import LabelFileError, read_label_file
from limbeck.shared.labels import LabelPair, duplicates, label_fault, normalize, quoted, unique_names

_FILE_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".parquet", ".names", ".md", ".xml")


class LabelsError(ValueError):
    """Labels that cannot be used; the message names them, in one line."""


def labels_of(option: str) -> list[str]:
    """The labels of a file, or `a,b,c` if there is no file of that name. Raises LabelsError."""
    path = Path(option)
    if option.strip() and "\n" not in option and path.exists():
        return _of_file(path)
    if "," not in option and ("/" in option or path.suffix.lower() in _FILE_SUFFIXES):
        raise LabelsError(f"{option}: no such file")
    return _of_names(option)


def _of_file(path: Path) -> list[str]:
    try:
        return unique_names(read_label_file(path.read_bytes(), path.name).pairs)
    except OSError as error:
        raise LabelsError(f"{path}: {error.strerror}") from None
    except LabelFileError as error:
        raise LabelsError(f"{path}: {error}") from None


def _of_names(option: str) -> list[str]:
    names = [normalize(name) for name in option.split(",")]
    labels: list[LabelPair] = [(name, None) for name in names if name]
    if not labels:
        raise LabelsError("no label is given: write names separated by commas, or name a label file")
    if fault := next(filter(None, (label_fault(*label) for label in labels)), None):
        raise LabelsError(fault)
    for position, first in duplicates(labels):
        raise LabelsError(f"label {quoted(labels[position][0])} is given twice (labels {first + 1} and {position + 1})")
    return [name for name, _ in labels]
