"""Splits matched images into training, held-out and OOD images (`distill.data.splits`). Imports no torch."""

from collections.abc import Collection, Mapping, Sequence

from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.matching import MatchedImage
from distill.data.image_files.location import listed_path
from distill.data.image_folders import FolderError, json_pointer
from distill.data.image_index import ImageIndex, Item
from distill.data.splits import (
    AllImages,
    ByImageLists,
    ByList,
    ByParts,
    BySeed,
    Part,
    Split,
    held_out_paths,
    random_id_split,
)


def split_images(
    images: Sequence[MatchedImage], labels: Sequence[str], split: Split, matcher: LabelMatcher
) -> list[Item]:
    """The images with their parts. Raises FolderError."""
    if isinstance(split, AllImages):
        part: Part = "train" if split.part == "train" else "ood"
        return sorted(Item(image.path, image.label, part) for image in images)
    if isinstance(split, ByImageLists):
        parts: Mapping[str | None, Part] = {"train": "train", "held_out": "held_out", "ood": "ood"}
        return [Item(image.path, image.label, parts[image.part]) for image in images]
    if isinstance(split, ByParts):
        return _by_parts(images, split)
    return _by_labels(images, labels, split, matcher)


def _by_labels(
    images: Sequence[MatchedImage], labels: Sequence[str], split: BySeed | ByList, matcher: LabelMatcher
) -> list[Item]:
    paths: dict[int, list[str]] = {}
    for image in images:
        paths.setdefault(image.label, []).append(image.path)
    paths = {label: sorted(paths[label]) for label in sorted(paths)}
    if isinstance(split, ByList):
        id_labels, ood_labels = matcher.of_list(split, paths)
    else:
        id_labels, ood_labels = random_id_split(paths, labels, seed=split.seed, id_fraction=split.id_fraction)
    items = [Item(path, label, "ood") for label in ood_labels for path in paths[label]]
    for label in id_labels:
        held_out = held_out_paths(paths[label], fraction=split.held_out, seed=split.seed)
        items += [Item(path, label, "held_out" if path in held_out else "train") for path in paths[label]]
    return sorted(items)


def _by_parts(images: Sequence[MatchedImage], split: ByParts) -> list[Item]:
    named = {image.part for image in images}
    if "train" not in named:
        found = ", ".join(f'"{name}"' for name in sorted(filter(None, named))[:10]) or "none"
        detail = f"no image is in a part for training, such as train/; the parts are {found}"
        raise FolderError("no_such_folder", detail, "/path")
    measured = (_chosen_parts(split.measure, named) or named) - {None, "train"}
    if not measured:
        raise FolderError("no_such_folder", "there is no part to measure on, such as val/ or test/", "/path")
    if nowhere := [image.path for image in images if image.part is None]:
        first = listed_path(nowhere[0])
        detail = f"{len(nowhere)} images are in no part, such as {first}: leave them out by a pattern in exclude"
        raise FolderError("no_part", detail, "/images/exclude")
    trained = {image.label for image in images if image.part == "train"}
    is_published = "val_on_train" in named  # then `val` holds OOD labels only

    def part(image: MatchedImage) -> Part:
        if image.part in ("train", "ood", "held_out"):
            parts: dict[str, Part] = {"train": "train", "ood": "ood", "held_out": "held_out"}
            return parts[image.part]
        if is_published:
            return "held_out" if image.part == "val_on_train" else "ood"
        return "held_out" if image.label in trained else "ood"

    order = {"train": 0, "held_out": 1, "ood": 2}
    items = [Item(image.path, image.label, part(image)) for image in images if image.part in measured | {"train"}]
    return sorted(items, key=lambda item: (order[item.part], item.label, item.path))


def _chosen_parts(names: Sequence[str], parts: Collection[str | None]) -> set[str | None]:
    """The parts that a split measures, in lower case as layouts give them. Raises FolderError for an unknown one."""
    chosen = [name.strip().lower() for name in names]
    for at, name in enumerate(chosen):
        if name not in parts:
            found = ", ".join(f'"{part}"' for part in sorted(filter(None, parts))[:10])
            detail = f'no image is in a part "{names[at]}": the parts are {found}'
            raise FolderError("no_such_folder", detail, json_pointer("split", "measure", at))
    return set(chosen)


def check_usable(image_index: ImageIndex, split: Split) -> None:
    """Raise FolderError unless the split has two labels to train on, images to measure on, and disjoint labels."""
    if isinstance(split, AllImages) and split.part == "test":
        if not image_index.ood_labels:
            raise FolderError("no_images", "there is no image to measure on", "/path")
        return
    train = image_index.labels_of("train")
    if both := set(image_index.id_labels) & set(image_index.ood_labels):
        names = _names_of(image_index, both)
        raise FolderError("id_ood_overlap", f"{names}: a label is either ID or OOD, not both", "/split")
    if not train:
        raise FolderError("no_images", "no image is left to train on", "/split")
    if len(train) == 1:
        detail = f"only {_names_of(image_index, train)} has images to train on; training needs at least two labels"
        raise FolderError("one_label", detail, "/split")
    if untrained := set(image_index.id_labels) - train:
        detail = f"{_names_of(image_index, untrained)}: images are held out, but none are left to train on"
        raise FolderError("no_images", detail, "/split")
    if not image_index.ood_labels and not image_index.labels_of("held_out") and not _measures_nothing(split):
        detail = 'no image is held out and no label is OOD; {"by": "all"} trains on everything, without measurement'
        raise FolderError("nothing_to_measure", detail, "/split")


def _measures_nothing(split: Split) -> bool:
    """Whether a split trains on everything by intent."""
    return isinstance(split, AllImages) or (
        isinstance(split, BySeed) and split.id_fraction == 1 and split.held_out == 0
    )


def _names_of(image_index: ImageIndex, labels: set[int]) -> str:
    return ", ".join(f'"{image_index.labels[label]}"' for label in sorted(labels)[:5])
