"""The subset of the images that a source chooses: by folders, and by labels of the vocabulary. Imports no torch."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePosixPath

from distill.data.dataset.faults import MatchFault
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.image_files.location import folder_of
from distill.data.image_folders import json_pointer
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import Listing
from limbeck.shared.label_matching import dataset_form
from limbeck.shared.text import counted

_MAX_COMPARED = 1000
_MAX_NAMED = 20
_OTHER_FOLDER = "image in a folder that is not chosen"


def choose_folders(listing: Listing, patterns: Sequence[str]) -> list[MatchFault]:
    """Keep the images in folders that match a pattern; returns a fault for each pattern that matches no folder.

    A pattern matches the name or the path (relative to the root) of a folder, or of a file that holds images such as a
    shard, with everything below it.
    """
    if not patterns:
        return []
    used: set[str] = set()
    kept: list[int] = []

    @lru_cache(maxsize=4096)
    def matching(folder: str) -> frozenset[str]:
        folders = [one for one in (PurePosixPath(folder), *PurePosixPath(folder).parents) if one.name]
        names = {text for one in folders for text in (one.name, str(one))}
        return frozenset(pattern for pattern in patterns if any(fnmatchcase(name, pattern) for name in names))

    for at, path in enumerate(listing.images.paths):
        if found := matching(folder_of(path)):
            used |= found
            kept.append(at)
        else:
            listing.skipped.add(_OTHER_FOLDER, path)
    listing.images = listing.images.taken(kept)
    return [
        MatchFault(
            "no_such_folder", f'"{pattern}" matches no folder with images', json_pointer("images", "folders", at)
        )
        for at, pattern in enumerate(patterns)
        if pattern not in used
    ]


def chosen_labels(matcher: LabelMatcher, names: Sequence[str]) -> tuple[dict[int, str], list[MatchFault]]:
    """The indices of the chosen labels with their names, and a fault for each name that is not one label."""
    chosen: dict[int, str] = {}
    faults: list[MatchFault] = []
    for at, name in enumerate(names):
        found = matcher.find(name)
        pointer = json_pointer("images", "labels", at)
        if len(found) == 1:
            chosen[found[0]] = name
        elif found:
            faults.append(MatchFault("ambiguous", f'"{name}" names {len(found)} labels of the vocabulary', pointer))
        else:
            faults.append(MatchFault("unknown_label", f'"{name}" is no label of the vocabulary', pointer, name))
    return chosen, faults


def without_images(chosen: Mapping[int, str], matched: Iterable[int], others: Collection[str]) -> list[MatchFault]:
    """A fault for each chosen label that has no image. `others`: values that were left out, among which it may be."""
    with_images = set(matched)
    names = [name for label, name in chosen.items() if label not in with_images]
    return [
        MatchFault("no_images", f'label "{name}" has no images{_similar(name, others)}', "/images/labels")
        for name in names
    ]


def labels_without_folder(
    matcher: LabelMatcher, found: Mapping[str, int], unmatched: Sequence[str], source: ImageSource
) -> str:
    """The labels without images, for a message about values that match no label; empty if all labels have images.

    The first are named, with the unmatched values that they resemble.
    """
    with_images = set(found.values())
    names = [label for at, label in enumerate(matcher.labels) if at not in with_images]
    if not unmatched or not names or source.labels:
        return ""
    forms = {dataset_form(value): value for value in unmatched[:_MAX_COMPARED]}

    def shown(label: str) -> str:
        close = difflib.get_close_matches(dataset_form(label), list(forms), n=1)
        return f'"{label}" (near: {forms[close[0]]})' if close else f'"{label}"'

    more = f" and {len(names) - _MAX_NAMED:,} more" if len(names) > _MAX_NAMED else ""
    return (
        f"{counted(len(names), 'label has', 'labels have')} no images: "
        f"{', '.join(map(shown, names[:_MAX_NAMED]))}{more}"
    )


def _similar(name: str, values: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(values)[:_MAX_COMPARED], n=2)
    return f" (the images have {', '.join(map(repr, close))})" if close else ""
