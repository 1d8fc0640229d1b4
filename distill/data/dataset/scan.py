"""Finds the images of a folder, matches them to labels and splits them. Reads names only; imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.data import image_folders
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.matching import MatchedImage, match_images
from distill.data.dataset.splitting import check_usable, split_images
from distill.data.image_index import ImageIndex
from distill.data.image_source import ImageSource
from distill.data.layouts import image_lists, part_folders
from distill.data.layouts.listing import Listing
from distill.data.layouts.registry import list_images
from distill.data.splits import ByImageLists, ByParts, Split


@dataclass(frozen=True, eq=False)
class MatchedDataset:
    """The images of a folder with the indices of their labels, before they are split, and the listing of the folder."""

    root: Path
    labels: Sequence[str]
    images: Sequence[MatchedImage]
    listing: Listing
    matcher: LabelMatcher


@dataclass(frozen=True, eq=False)
class ScannedDataset:
    """The image index of a folder, and the listing that it was made from."""

    image_index: ImageIndex
    listing: Listing


def match_dataset(
    root: Path,
    labels: Sequence[str],
    split: Split,
    folder_map: Mapping[str, str] | None = None,
    source: ImageSource | None = None,
) -> MatchedDataset:
    """Find the images below `root`, and match their folders or label values to `labels`; as `scan_dataset`."""
    source = source or ImageSource()
    root = image_folders.resolve_folder(root)
    matcher = LabelMatcher(labels, folder_map)
    listing = _list(root, source, split)
    return MatchedDataset(root, labels, match_images(listing, matcher, source), listing, matcher)


def index_images(matched: MatchedDataset, split: Split) -> ImageIndex:
    """Split the images of a dataset. Raises FolderError if the split is not usable."""
    items = split_images(matched.images, matched.labels, split, matched.matcher)
    image_index = ImageIndex.of(matched.root, matched.labels, items)
    check_usable(image_index, split)
    return image_index


def scan_dataset(
    root: Path,
    labels: Sequence[str],
    split: Split,
    folder_map: Mapping[str, str] | None = None,
    source: ImageSource | None = None,
) -> ScannedDataset:
    """Find the images below `root`, match their folders or label values to `labels`, and split them.

    A folder is matched by `folder_map` (folder name to label) if it is listed there, else by its exact name, else by
    the forms of `limbeck.shared.label_matching`. The label of a shard sample is matched in the same way; a number that
    is not the name of a label is an index (from 0) into `labels`. The caller gives labels that share a name a sense
    (`crane (bird)`).

    Raises FolderError, whose `code` is one of: no_such_folder, link, no_images, folder_matches_no_label, ambiguous,
    unknown_label, id_ood_overlap, one_label, missing_list, missing_image, image_twice, outside_root,
    nothing_to_measure, packed_shard, bad_shard, no_label, unknown_layout.
    """
    matched = match_dataset(root, labels, split, folder_map, source)
    return ScannedDataset(index_images(matched, split), matched.listing)


def _list(root: Path, source: ImageSource, split: Split) -> Listing:
    if isinstance(split, ByImageLists):
        return image_lists.read(root, split)
    if isinstance(split, ByParts) and source.layout == "auto" and part_folders.has_part_folder(root):
        return part_folders.read(root, source)  # whatever lies beside the part folders
    return list_images(root, source)


def scan(root: Path, labels: Sequence[str], split: Split, folder_map: Mapping[str, str] | None = None) -> ImageIndex:
    """The image index of a folder whose layout is recognised; as `scan_dataset`."""
    return scan_dataset(root, labels, split, folder_map).image_index
