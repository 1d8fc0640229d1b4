"""Label values that are no names: indices into the vocabulary, and ids whose names are in a label file. No torch.

An index is never guessed: a file that counts from 1 would give every image the label before its own.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.files.regular_files import read_regular
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import Listing
from distill.data.layouts.tables.files import file_below
from limbeck.shared.label_files.identifiers import is_number
from limbeck.shared.label_files.reader import read_label_file
from limbeck.shared.label_files.types import FileLabel, LabelFileError
from limbeck.shared.labels import quoted, written
from limbeck.shared.text import counted

SEPARATORS = ("|", ";", ",", "/", " ")
_WHOLE = re.compile(r"(\d+)\.0+")
_FIRST = {"indices_from_0": 0, "indices_from_1": 1}


def with_names(listing: Listing, root: Path, labels: Sequence[str], source: ImageSource) -> Listing:
    """The listing with a name for each label value, as the source asks.

    `labels`: of the vocabulary, which indices count unless there is a file of names. Raises FolderError missing_table,
    bad_table or bad_index.
    """
    if source.label_names is None and source.labels_are == "names":
        return listing
    images = listing.images.relabelled(lambda labels: tuple(map(_whole, labels)))
    values = list(images.label_values())
    names: dict[str, str] | None = None
    if source.label_names is not None:
        file = _label_file(root, source.label_names)
        names = _by_id(file, values)
        labels = [written(label.name, label.sense) for label in file]
    if names is None:
        names = _by_index(labels, values, source)
        if values and source.labels_are == "indices_from_0" and "0" not in names:
            listing.notes.append("no image has the index 0: do the indices count from 1?")
    named = images.relabelled(lambda labels: tuple(dict.fromkeys(names[label] for label in labels)))
    return replace(listing, images=named, indices=False)


def numbers_remedy(listing: Listing) -> str:
    """What to do about labels that match nothing, if they are numbers; else empty."""
    values = listing.images.label_values()
    if listing.indices or not values or not all(is_number(_whole(value)) for value in values):
        return ""
    return (
        "; the labels are numbers: give images.label_names (a file with their names), or images.labels_are "
        '"indices_from_0" or "indices_from_1" if they count the labels of the vocabulary'
    )


def lists_remedy(listing: Listing, matcher: LabelMatcher) -> str:
    """What to do about labels that match nothing, if each of them is a list of labels in one text; else empty."""
    unknown = [value for value in listing.images.label_values() if not matcher.of_value(value)]
    if not unknown:
        return ""
    if all(value.startswith("[") and value.endswith("]") for value in unknown):
        return (
            '; the labels are lists in brackets: write them with a separator, such as "cup|spoon", and give '
            "images.label_separator, or give the table as JSON Lines"
        )
    for separator in SEPARATORS:
        items = [item.strip() for value in unknown for item in value.split(separator) if item.strip()]
        if all(separator in value for value in unknown) and all(map(matcher.of_value, items)):
            return f'; each of them is several labels: give images.label_separator "{separator}"'
    return ""


def _whole(value: str) -> str:
    """A number without the `.0` with which pandas writes a column of integers that has gaps."""
    found = _WHOLE.fullmatch(value)
    return found[1] if found else value


def _by_index(labels: Sequence[str], values: Sequence[str], source: ImageSource) -> dict[str, str]:
    if source.labels_are == "names":
        shown = ", ".join(map(quoted, values[:5]))
        detail = (
            f"{source.label_names} has no id for each label of the images ({shown}): give images.labels_are "
            '"indices_from_0" or "indices_from_1" if they count its lines'
        )
        raise FolderError("bad_index", detail, "/images/label_names")
    first = _FIRST[source.labels_are]
    wrong = [value for value in values if not is_number(value) or not first <= int(value) < first + len(labels)]
    if wrong:
        shown = ", ".join(map(quoted, wrong[:5]))
        detail = (
            f"{counted(len(wrong), 'label is', 'labels are')} no index from {first} to "
            f"{first + len(labels) - 1} ({shown}): images.labels_are "
            f"is {source.labels_are}, and there are {counted(len(labels), 'label')}"
        )
        raise FolderError("bad_index", detail, "/images/labels_are")
    return {value: labels[int(value) - first] for value in values}


def _label_file(root: Path, name: str) -> list[FileLabel]:
    try:
        return read_label_file(read_regular(file_below(root, name, "label_names")), name).labels
    except LabelFileError as error:
        raise FolderError("bad_table", f"{name} {error}", "/images/label_names") from None


def _by_id(file: Sequence[FileLabel], values: Sequence[str]) -> dict[str, str] | None:
    """The name of each value, by the first kind of id in the file that has them all; None if there is none."""
    for key in dict.fromkeys(key for label in file for key in label.ids):
        names = dict(_ids(file, key))
        if all(value in names for value in values):
            return {value: names[value] for value in values}
    return None


def _ids(file: Sequence[FileLabel], key: str) -> Iterator[tuple[str, str]]:
    for label in file:
        found = label.ids.get(key)
        for id in found if isinstance(found, list) else [found] if found else []:
            yield id, written(label.name, label.sense)
