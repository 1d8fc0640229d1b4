"""Checks a listing against the labels of a vocabulary, so that nothing is merged or left out silently. No torch."""

import re
from pathlib import Path

from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.image_files.location import listed_path
from distill.data.image_folders import FolderError, files_below
from distill.data.image_source import ImageSource
from distill.data.layouts.class_folders import add_folder
from distill.data.layouts.listing import EmptyFolder, Listing
from distill.data.splits import ByImageLists, ByParts, Split
from limbeck.shared.text import counted

_NEGATIVE = re.compile(r"-\d+(\.0+)?")
_SHOWN = 5


def check_listing(listing: Listing, matcher: LabelMatcher, source: ImageSource, split: Split, root: Path) -> None:
    """Apply what the labels decide: add folders that are withheld but named by a label, drop images that a pattern
    leaves out, and note folders without images and parts that are pooled.

    Raises FolderError unmatched_pattern, no_images or negative_label, and those of `files_below`.
    """
    _add_named_folders(listing, matcher, source, root)
    _drop_excluded(listing, source)
    _sort_empty_folders(listing, matcher)
    _refuse_negative_indices(listing, matcher)
    _note_pooled_parts(listing, split)


def _add_named_folders(listing: Listing, matcher: LabelMatcher, source: ImageSource, root: Path) -> None:
    for label, folder, part in listing.withheld:
        path = folder.relative_to(root).as_posix()
        if not matcher.is_given(label):
            listing.exclusion(source).leaves_out(path, is_folder=True)
        elif images := files_below(folder, root, listing.exclusion(source)).images:
            add_folder(listing, folder, images, root, part)
        else:
            listing.empty_folders.append(EmptyFolder(label, path))


def _drop_excluded(listing: Listing, source: ImageSource) -> None:
    """Apply the patterns also to images that a list or table names; every pattern must leave something out."""
    if not source.exclude:
        return
    exclusion, num_listed = listing.exclusion(source), len(listing.images)
    kept = [at for at, path in enumerate(listing.images.paths) if not exclusion.leaves_out_listed(listed_path(path))]
    listing.images = listing.images.taken(kept)
    if unused := [pattern for pattern in source.exclude if pattern not in listing.used_patterns]:
        names = ", ".join(f'"{pattern}"' for pattern in unused)
        detail = f"{names}: no file or folder matches; correct or remove the pattern"
        raise FolderError("unmatched_pattern", detail, "/images/exclude")
    if num_listed and not listing.images:
        raise FolderError("no_images", f"the patterns leave out all {num_listed} images", "/images/exclude")


def _sort_empty_folders(listing: Listing, matcher: LabelMatcher) -> None:
    """Note the labels whose folders hold no image, and report the other folders without images."""
    with_images = listing.images.label_values()
    empty = []
    for label, path in listing.empty_folders:
        if label not in with_images and (matcher.is_mapped(label) or matcher.find(label)):
            empty.append(label)
        else:
            listing.skipped.add("folder without images", f"{path}/")
    if empty:
        more = " …" if len(empty) > _SHOWN else ""
        listing.notes.append(
            f"{counted(len(empty), 'label has', 'labels have')} a folder without images, neither seen nor unseen: "
            f"{', '.join(empty[:_SHOWN])}{more}"
        )


def _refuse_negative_indices(listing: Listing, matcher: LabelMatcher) -> None:
    """Refuse -1, which stands for an unknown label, and which the rules for names would take for "1"."""
    for label, number in listing.images.label_values().items():
        if _NEGATIVE.fullmatch(label.strip()) and not matcher.is_given(label):
            first = next(image.path for image in listing.images if label in image.labels)
            detail = (
                f"{counted(number, 'image has', 'images have')} the label {label}, which is no label, "
                f"such as {listed_path(first)}: "
                "leave out these images by a pattern in exclude, or correct the label"
            )
            raise FolderError("negative_label", detail, "/images/exclude")


def _note_pooled_parts(listing: Listing, split: Split) -> None:
    parts = listing.images.part_counts()
    if len(parts) > 1 and not isinstance(split, ByParts | ByImageLists):
        counts = ", ".join(f"{part or 'no part'} {number}" for part, number in sorted(parts.items(), key=str))
        listing.notes.append(
            f'the split by {split.by} pools the parts ({counts}); the split by "parts" keeps them apart'
        )
