"""Finds the images of a folder, matches them to labels and splits them. Reads names only; imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.data import image_folders
from distill.data.dataset import label_values, several_labels
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.matching import MatchedImage, match_images
from distill.data.dataset.splitting import check_usable, split_images
from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex, Item
from distill.data.image_source import ImageSource
from distill.data.layouts import image_lists, part_folders
from distill.data.layouts.listing import Listing
from distill.data.layouts.registry import layout_of, list_images
from distill.data.splits import ByImageLists, ByParts, Split


@dataclass(frozen=True, eq=False)
class ScannedDataset:
    """The image index of a folder, and the listing that it was made from."""

    image_index: ImageIndex
    listing: Listing


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
    nothing_to_measure, packed_shard, bad_shard, no_label, unknown_layout, several_labels, bad_index, and those of the
    readers of tables: bad_table, missing_table, ambiguous_table, no_column, ambiguous_columns, ambiguous_image,
    remote_image, needs_pyarrow.
    """
    source = source or ImageSource()
    root = image_folders.resolve_folder(root)
    matcher = LabelMatcher(labels, folder_map)
    listing = label_values.with_names(_list(root, source, split), root, labels, source)
    images = several_labels.one_label_each(
        _match(listing, matcher, source), labels, source.several_labels, listing.notes
    )
    items = several_labels.one_part_each(split_images(images, labels, split, matcher), listing.notes)
    image_index = ImageIndex.of(root, labels, _with_captions(items, listing))
    check_usable(image_index, split)
    return ScannedDataset(image_index, listing)


def _list(root: Path, source: ImageSource, split: Split) -> Listing:
    if isinstance(split, ByImageLists):
        return image_lists.read(root, split, source)
    layout = layout_of(root, source)
    if isinstance(split, ByParts) and layout.name == "class_folders" and part_folders.has_part_folder(root):
        return part_folders.read(root, source)  # whatever lies beside the part folders
    return list_images(root, source, layout)


def _match(listing: Listing, matcher: LabelMatcher, source: ImageSource) -> list[MatchedImage]:
    try:
        return match_images(listing, matcher, source)
    except FolderError as error:
        if error.code == "folder_matches_no_label" and (remedy := label_values.numbers_remedy(listing)):
            raise FolderError(error.code, error.detail + remedy, "/images/labels_are") from None
        raise


def _with_captions(items: Sequence[Item], listing: Listing) -> Iterator[Item]:
    captions = {image.path: image.caption for image in listing.images if image.caption is not None}
    return (item._replace(caption=captions.get(item.path)) for item in items) if captions else iter(items)


def scan(root: Path, labels: Sequence[str], split: Split, folder_map: Mapping[str, str] | None = None) -> ImageIndex:
    """The image index of a folder whose layout is recognised; as `scan_dataset`."""
    return scan_dataset(root, labels, split, folder_map).image_index
