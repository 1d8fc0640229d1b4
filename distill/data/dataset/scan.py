"""Finds the images of a folder, matches them to labels and splits them. Reads names only; imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.data import image_folders
from distill.data.dataset import label_values, multi_label, several_labels
from distill.data.dataset.allocation import map_large_blocks
from distill.data.dataset.label_matcher import LabelIds, LabelMatcher
from distill.data.dataset.listing_checks import check_listing
from distill.data.dataset.matched_images import MatchedImages
from distill.data.dataset.matching import match_images
from distill.data.dataset.splitting import check_usable, split_images
from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex, Item
from distill.data.image_source import ImageSource
from distill.data.layouts import image_lists
from distill.data.layouts.listing import Listing
from distill.data.layouts.registry import list_images, reads_setting
from distill.data.layouts.unlabelled import patterns_against, unlabelled_paths
from distill.data.splits import LABEL_SET, NO_LABEL, PARTS, ByImageLists, ByList, ByParts, Split
from limbeck.shared.text import counted


@dataclass(frozen=True, eq=False)
class MatchedDataset:
    """The images of a folder with the indices of their labels, before they are split, and the listing of the folder.

    `unlabelled`: the paths of the images without labels.
    """

    root: Path
    labels: Sequence[str]
    images: MatchedImages
    unlabelled: Sequence[str]
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
    label_ids: Sequence[LabelIds | None] | None = None,
    unlabelled: Sequence[Path] = (),
) -> MatchedDataset:
    """Find the images below `root`, and match their folders or label values to `labels`; as `scan_dataset`."""
    map_large_blocks()
    root = image_folders.resolve_folder(root)
    source, apart = source or ImageSource(), patterns_against(unlabelled, root)
    source = source.model_copy(update={"exclude": (*source.exclude, *apart)})
    matcher = LabelMatcher(labels, folder_map, label_ids)
    listing = label_values.with_names(_list(root, source, split), root, labels, source)
    listing.used_patterns.update(apart)  # not every layout looks into these folders
    check_listing(listing, matcher, source, split, root)
    images = several_labels.one_label_each(
        _match(listing, matcher, source), labels, source.several_labels, listing.notes
    )
    if isinstance(split, ByParts) and listing.has_other_images:
        in_parts = images.taken([row for row, code in enumerate(images.part_codes) if images.parts[code] is not None])
        if num_left_out := len(images) - len(in_parts):
            listing.notes.append(f"{counted(num_left_out, 'image is', 'images are')} in no part, and were left out")
        images = in_parts
    paths = [listing.images.paths[row] for row in listing.images.unlabelled_rows()]
    paths += unlabelled_paths(root, unlabelled, listing.exclusion(ImageSource()))
    return MatchedDataset(root, labels, images, paths, listing, matcher)


def split_dataset(matched: MatchedDataset, split: Split, notes: list[str]) -> ImageIndex:
    """The images of a dataset with their parts and captions, whether or not the split is usable.

    Adds to `notes` what was moved. Raises FolderError.
    """
    images = matched.images
    if images.label_sets is not None and isinstance(split, ByList):
        images = multi_label.of_listed_labels(images, split, matched.matcher)
    parts = split_images(images, matched.labels, split, matched.matcher, notes)
    if images.label_sets is not None:
        sets = images.label_sets
        items = [
            Item(images.paths[row], LABEL_SET, PARTS[code], None, sets[row]) for row, code in zip(*parts, strict=True)
        ]
        items += [Item(path, NO_LABEL, "unlabelled") for path in matched.unlabelled]
        return ImageIndex.of(matched.root, matched.labels, _with_captions(items, matched.listing))
    if images.paths.has_repeats or matched.unlabelled:
        items = [Item(images.paths[row], images.labels[row], PARTS[code]) for row, code in zip(*parts, strict=True)]
        items = several_labels.one_part_each(items, notes)
        items += [Item(path, NO_LABEL, "unlabelled") for path in matched.unlabelled]
        return ImageIndex.of(matched.root, matched.labels, _with_captions(items, matched.listing))
    used = images if isinstance(parts.rows, range) and len(parts.rows) == len(images) else images.taken(parts.rows)
    return ImageIndex(str(matched.root), tuple(matched.labels), used.paths, used.labels, parts.codes, used.captions)


def index_images(matched: MatchedDataset, split: Split, notes: list[str]) -> ImageIndex:
    """Split the images of a dataset; `notes` as of `split_dataset`. Raises FolderError if the split is not usable."""
    image_index = split_dataset(matched, split, notes)
    check_usable(image_index, split)
    return image_index


def scan_dataset(
    root: Path,
    labels: Sequence[str],
    split: Split,
    folder_map: Mapping[str, str] | None = None,
    source: ImageSource | None = None,
    label_ids: Sequence[LabelIds | None] | None = None,
    unlabelled: Sequence[Path] = (),
) -> ScannedDataset:
    """Find the images below `root`, match their folders or label values to `labels`, and split them.

    A folder is matched by `folder_map` (folder name to label) if it is listed there, else by its exact name, else by
    the forms of `limbeck.shared.label_matching`, else by `label_ids` (identifiers and aliases of each label). The label
    of a shard sample is matched in the same way; a number that is not the name of a label is an index (from 0) into
    `labels`. The caller gives labels that share a name a sense (`crane (bird)`). `source` chooses the layout and the
    subset of the images. Images without a label, and those in the folders `unlabelled`, are in the part `unlabelled`.

    Raises FolderError, whose `code` is one of: no_such_folder, link, no_images, folder_matches_no_label, ambiguous,
    unknown_label, id_ood_overlap, one_label, missing_list, missing_image, image_twice, outside_root,
    nothing_to_measure, packed_shard, bad_shard, no_label, unknown_layout, bad_list, missing_extra, packed_images,
    several_images, negative_label, mixed_layout, merged_labels, unmatched_pattern, no_part, folder_unreadable,
    several_labels, bad_index, unlabelled_overlap, and those of the readers of tables: bad_table, missing_table,
    ambiguous_table, no_column, ambiguous_columns, ambiguous_image, remote_image, needs_pyarrow.
    """
    matched = match_dataset(root, labels, split, folder_map, source, label_ids, unlabelled)
    return ScannedDataset(index_images(matched, split, matched.listing.notes), matched.listing)


def _list(root: Path, source: ImageSource, split: Split) -> Listing:
    if isinstance(split, ByImageLists):
        return image_lists.read(root, split, source)
    return list_images(root, source, needs_parts=isinstance(split, ByParts))


def _match(listing: Listing, matcher: LabelMatcher, source: ImageSource) -> MatchedImages:
    try:
        return match_images(listing, matcher, source)
    except FolderError as error:
        if error.code == "folder_matches_no_label" and (remedy := label_values.numbers_remedy(listing)):
            raise FolderError(error.code, error.detail + remedy, "/images/labels_are") from None
        # A folder called `cup, spoon` is no list: the separator is for layouts with values.
        is_list = error.code == "folder_matches_no_label" and reads_setting(listing.layout, "label_separator")
        if is_list and (remedy := label_values.lists_remedy(listing, matcher)):
            raise FolderError(error.code, error.detail + remedy, "/images/label_separator") from None
        raise


def _with_captions(items: Sequence[Item], listing: Listing) -> Iterator[Item]:
    captions = {image.path: image.caption for image in listing.images if image.caption is not None}
    return (item._replace(caption=captions.get(item.path)) for item in items) if captions else iter(items)


def scan(root: Path, labels: Sequence[str], split: Split, folder_map: Mapping[str, str] | None = None) -> ImageIndex:
    """The image index of a folder whose layout is recognised; as `scan_dataset`."""
    return scan_dataset(root, labels, split, folder_map).image_index
