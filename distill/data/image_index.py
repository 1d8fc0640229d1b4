"""The image index of a dataset: class folders or shards on disk, matched to labels and split into three parts.

`scan(root, labels, split)` reads names only, opens no image, and returns an `ImageIndex`: the label and the part
(`distill.data.splits`) of every image. A folder with WebDataset shards (`distill.data.shards`) instead of class folders
is read by the labels of their samples. Imports no torch. N images, K labels.
"""

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from distill.data import image_folders, shards
from distill.data.atomic_files import replacing
from distill.data.image_folders import FolderError, LabelMatcher
from distill.data.packed_strings import PackedStrings
from distill.data.splits import (
    PARTS,
    ByFolders,
    ByImageLists,
    ByList,
    BySeed,
    Part,
    Split,
    held_out_paths,
    random_id_split,
)
from limbeck.shared.images.kinds import IMAGE_SUFFIXES


class Item(NamedTuple):
    """One image: its path relative to the root, the index of its label, and its part."""

    path: str
    label: int
    part: Part


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """The label and the part of each of N images, stored in columns to save memory at a million images.

    `labels`: the whole vocabulary in order, including labels without images. The digest covers neither `root` nor the
    contents of the images.
    """

    root: str
    labels: tuple[str, ...]
    paths: PackedStrings
    label_indices: "array[int]"
    part_codes: bytes

    @cached_property
    def id_labels(self) -> tuple[int, ...]:
        """Indices of the labels with training or held-out images."""
        return tuple(sorted(self.labels_of("train") | self.labels_of("held_out")))

    @cached_property
    def ood_labels(self) -> tuple[int, ...]:
        """Indices of the labels that are not in training."""
        return tuple(sorted(self.labels_of("ood")))

    @cached_property
    def digest(self) -> str:
        """sha256 over labels, paths and parts, in hex."""
        digest = hashlib.sha256(json.dumps(self.labels).encode())
        for item in self:
            digest.update(json.dumps(item).encode())
        return digest.hexdigest()

    def labels_of(self, part: Part) -> set[int]:
        """Indices of the labels with images in a part."""
        wanted = PARTS.index(part)
        return {label for label, code in zip(self.label_indices, self.part_codes, strict=True) if code == wanted}

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Item]:
        for path, label, code in zip(self.paths, self.label_indices, self.part_codes, strict=True):
            yield Item(path, label, PARTS[code])

    @property
    def items(self) -> list[Item]:
        """All images in order. For a large index, iterate over the index itself."""
        return list(self)

    @property
    def counts(self) -> dict[str, int]:
        """Number of images per part, and of `id_labels` and `ood_labels`."""
        parts: dict[str, int] = {part: self.part_codes.count(code) for code, part in enumerate(PARTS)}
        return parts | {"id_labels": len(self.id_labels), "ood_labels": len(self.ood_labels)}

    def part(self, part: Part) -> list[int]:
        """Positions of the images of a part, in order."""
        wanted = PARTS.index(part)
        return [at for at, code in enumerate(self.part_codes) if code == wanted]

    def file(self, at: int) -> Path:
        """Path on this machine of the image at a position."""
        return Path(self.root, self.paths[at])

    def save(self, path: Path) -> None:
        """Write JSON lines, atomically: a header, then `[path, label, part]` per image."""
        header = {
            "manifest": 1,
            "root": self.root,
            "labels": self.labels,
            "num_images": len(self),
            "digest": self.digest,
        }
        with replacing(path) as draft, draft.open("w", encoding="utf-8") as out:
            out.write(json.dumps(header, ensure_ascii=False) + "\n")
            out.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in self)

    @classmethod
    def load(cls, path: Path) -> "ImageIndex":
        """Read a file that `save` wrote. Raises FolderError `bad_manifest` if the file is truncated or altered."""
        try:
            with path.open(encoding="utf-8") as lines:
                header = json.loads(next(lines, ""))
                image_index = cls.of(header["root"], header["labels"], (Item(*json.loads(line)) for line in lines))
            is_intact = (header["manifest"], header["digest"]) == (1, image_index.digest)
        except (ValueError, KeyError, TypeError) as error:
            raise FolderError("bad_manifest", f"{path.name} is not an image index: {error}", "") from None
        if not is_intact:
            detail = f"{path.name} is truncated or altered: register the dataset again"
            raise FolderError("bad_manifest", detail, "")
        return image_index

    @classmethod
    def of(cls, root: str | Path, labels: Sequence[str], items: Iterable[Item]) -> "ImageIndex":
        """Collect items into columns. Raises ValueError for an unknown part or a label index out of range."""
        label_indices, part_codes = array("i"), bytearray()

        def paths() -> Iterator[str]:
            for path, label, part in items:
                if not 0 <= label < len(labels):
                    raise ValueError(f"{path}: label index {label} is out of range, there are {len(labels)} labels")
                label_indices.append(label)
                part_codes.append(PARTS.index(part))
                yield path

        return cls(str(root), tuple(labels), PackedStrings(paths()), label_indices, bytes(part_codes))


def scan(root: Path, labels: Sequence[str], split: Split, folder_map: Mapping[str, str] | None = None) -> ImageIndex:
    """Find the images below `root`, match their folders to `labels` and split them.

    A folder is matched by `folder_map` (folder name to label) if it is listed there, else by its exact name, else by
    the forms of `limbeck.shared.label_matching`. The label of a shard sample is matched in the same way; a number that
    is not the name of a label is an index (from 0) into `labels`. The caller gives labels that share a name a sense
    (`crane (bird)`).

    Raises FolderError, whose `code` is one of: no_such_folder, link, no_images, folder_matches_no_label, ambiguous,
    unknown_label, id_ood_overlap, one_label, missing_list, missing_image, image_twice, outside_root,
    nothing_to_measure, packed_shard, bad_shard, no_label.
    """
    root = image_folders.resolve_folder(root)
    matcher = LabelMatcher(labels, folder_map)
    if isinstance(split, ByFolders):
        items = _items_of_part_folders(root, matcher)
    elif isinstance(split, ByImageLists):
        items = _items_of_lists(root, split, matcher)
    else:
        items = _items_of_class_folders(root, labels, split, matcher)
    image_index = ImageIndex.of(root, labels, items)
    _check_usable(image_index)
    return image_index


def _items_of_class_folders(
    root: Path, labels: Sequence[str], split: BySeed | ByList, matcher: LabelMatcher
) -> list[Item]:
    images = _paths_by_label(root, root, matcher)
    if isinstance(split, ByList):
        id_labels, ood_labels = matcher.of_list(split, images)
    else:
        id_labels, ood_labels = random_id_split(images, labels, seed=split.seed, id_fraction=split.id_fraction)
    items = [Item(path, label, "ood") for label in ood_labels for path in images[label]]
    for label in id_labels:
        held_out = held_out_paths(images[label], fraction=split.held_out, seed=split.seed)
        items += [Item(path, label, "held_out" if path in held_out else "train") for path in images[label]]
    return sorted(items)


def _items_of_part_folders(root: Path, matcher: LabelMatcher) -> list[Item]:
    items: list[Item] = []
    folders: dict[str, Part] = {"train": "train", "val_on_train": "held_out", "val": "ood"}
    if not (root / "val").is_dir() and not (root / "val_on_train").is_dir():
        raise FolderError("no_such_folder", "there is neither val/ nor val_on_train/ to measure on", "/path")
    for name, part in folders.items():
        if part == "train" or (root / name).is_dir():
            found = _paths_by_label(root, image_folders.resolve_folder(root / name, root), matcher)
            items += [Item(path, label, part) for label, paths in found.items() for path in paths]
    return items


def _items_of_lists(root: Path, split: ByImageLists, matcher: LabelMatcher) -> list[Item]:
    listed_at: dict[str, str] = {}
    items: list[Item] = []
    label_of_folder: dict[str, int] = {}
    for part in PARTS:
        name: str | None = getattr(split, part)
        for number, path in image_folders.listed_images(root, name, f"/split/{part}") if name else ():
            place = f"{name} line {number}"
            if path in listed_at:
                raise FolderError("image_twice", f"{path} is in {listed_at[path]} and {place}", f"/split/{part}")
            listed_at[path] = place
            folder = Path(path).parent.name
            if folder not in label_of_folder:
                label_of_folder[folder] = matcher.of_folder(folder)
            items.append(Item(path, label_of_folder[folder], part))
    return items


def _paths_by_label(root: Path, below: Path, matcher: LabelMatcher) -> dict[int, list[str]]:
    """Sorted paths of the images of each label, from the shards in `below` if there are any, else its class folders."""
    if found_shards := shards.shards_below(below):
        images = _paths_in_shards(root, found_shards, matcher)
    else:
        images = _paths_in_folders(root, below, matcher)
    return {label: sorted(images[label]) for label in sorted(images)}


def _paths_in_folders(root: Path, below: Path, matcher: LabelMatcher) -> dict[int, list[str]]:
    images: dict[int, list[str]] = {}
    for folder in image_folders.class_folders(below):
        found = image_folders.images_below(folder, root)
        if not found:
            detail = f'folder "{folder.relative_to(root)}" holds no image ({" ".join(IMAGE_SUFFIXES)})'
            raise FolderError("no_images", detail, "/path")
        images.setdefault(matcher.of_folder(folder.name), []).extend(found)
    if not images:
        name = "the folder" if below == root else f'"{below.relative_to(root)}"'
        raise FolderError("no_images", f"{name} has no class folders, one per label, with images", "/path")
    return images


def _paths_in_shards(root: Path, found_shards: Sequence[Path], matcher: LabelMatcher) -> dict[int, list[str]]:
    images: dict[int, list[str]] = {}
    label_of_value: dict[str, int] = {}
    for shard in found_shards:
        for path, value in shards.read_samples(shard, root):
            if value not in label_of_value:
                label_of_value[value] = matcher.of_sample(value)
            images.setdefault(label_of_value[value], []).append(path)
    if not images:
        raise FolderError("no_images", f"the shards hold no image ({' '.join(IMAGE_SUFFIXES)})", "/path")
    return images


def _check_usable(image_index: ImageIndex) -> None:
    """Raise FolderError unless the split has two labels to train on, images to measure on, and disjoint labels."""
    train = image_index.labels_of("train")
    if both := set(image_index.id_labels) & set(image_index.ood_labels):
        names = _names_of(image_index, both)
        raise FolderError("id_ood_overlap", f"{names}: a label is either ID or OOD, not both", "/split")
    if not train:
        raise FolderError("no_images", "no image is left to train on", "/split")
    if len(train) == 1:
        detail = f"only {_names_of(image_index, train)} has images to train on; training needs at least two labels"
        raise FolderError("one_label", detail, "/split")
    if not image_index.ood_labels and not image_index.labels_of("held_out"):
        raise FolderError("nothing_to_measure", "no image is held out and no label is OOD", "/split")
    if untrained := set(image_index.id_labels) - train:
        detail = f"{_names_of(image_index, untrained)}: images are held out, but none are left to train on"
        raise FolderError("no_images", detail, "/split")


def _names_of(image_index: ImageIndex, labels: set[int]) -> str:
    return ", ".join(f'"{image_index.labels[label]}"' for label in sorted(labels)[:5])
