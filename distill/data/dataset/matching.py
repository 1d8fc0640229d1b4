"""Matches the labels of listed images to a vocabulary; everything that matches nothing is named at once. No torch."""

from collections.abc import Sequence
from typing import NamedTuple

from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.listing_checks import refuse_merged_labels
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.listing import Listing


class MatchedImage(NamedTuple):
    """An image with the index of its label, and its part as the layout names it."""

    path: str
    label: int
    part: str | None


def match_images(listing: Listing, matcher: LabelMatcher, source: ImageSource) -> list[MatchedImage]:
    """The images of a listing with the indices of their labels, in the order of the listing.

    Raises FolderError folder_matches_no_label or ambiguous, with every label value that cannot be matched, and
    merged_labels.
    """
    found: dict[str, int] = {}
    faults: dict[str, FolderError] = {}
    for value in dict.fromkeys(label for image in listing.images for label in image.labels):
        try:
            found[value] = _find(listing, matcher, value)
        except FolderError as error:
            faults[value] = error
    if faults:
        raise _one_error(list(faults.values()))
    refuse_merged_labels(found, listing, matcher)
    return [MatchedImage(image.path, found[label], image.part) for image in listing.images for label in image.labels]


def _find(listing: Listing, matcher: LabelMatcher, value: str) -> int:
    find = matcher.of_sample if listing.indices else matcher.of_folder
    for name in (value, *listing.aliases.get(value, ())):
        try:
            return find(name)
        except FolderError as error:
            if name == value:
                first = error
    raise first


def _one_error(faults: Sequence[FolderError]) -> FolderError:
    if len(faults) == 1:
        return faults[0]
    shown = "; ".join(fault.detail for fault in faults[:20])
    more = f"; and {len(faults) - 20} more" if len(faults) > 20 else ""
    return FolderError(faults[0].code, f"{len(faults)} labels cannot be matched: {shown}{more}", faults[0].pointer)
