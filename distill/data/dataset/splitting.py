"""Splits matched images into training, held-out and OOD images (`distill.data.splits`). Imports no torch."""

from array import array
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from distill.data.dataset import multi_label
from distill.data.dataset.grouping import positions_of_values
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.matched_images import MatchedImages
from distill.data.image_files.location import listed_path
from distill.data.image_folders import FolderError, json_pointer
from distill.data.image_index import ImageIndex
from distill.data.splits import (
    LABELLED_PARTS,
    PARTS,
    AllImages,
    ByImageLists,
    ByList,
    ByParts,
    BySeed,
    Part,
    Split,
    held_out_positions,
    random_id_split,
)
from limbeck.shared.text import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Parts(NamedTuple):
    """The images that a split uses, by their rows and in the order of the index, and the part of each (N,)."""

    rows: Sequence[int]
    codes: bytes


def split_images(
    images: MatchedImages, labels: Sequence[str], split: Split, matcher: LabelMatcher, notes: list[str]
) -> Parts:
    """The images with their parts. Adds to `notes` what the split changes. Raises FolderError."""
    if isinstance(split, AllImages):
        part: Part = "train" if split.part == "train" else "ood"
        return Parts(_by_path(images), bytes([PARTS.index(part)]) * len(images))
    if isinstance(split, ByImageLists):
        codes = [PARTS.index(part) if part in LABELLED_PARTS else 0 for part in images.parts]
        return Parts(range(len(images)), bytes(map(codes.__getitem__, images.part_codes)))
    if isinstance(split, ByParts):
        return _by_parts(images, len(labels), split)
    if images.label_sets is not None:
        return _in_path_order(images, multi_label.part_codes(images, labels, split, matcher, notes))
    return _by_labels(images, labels, split, matcher)


def _in_path_order(images: MatchedImages, codes: "npt.NDArray[np.uint8]") -> Parts:
    rows = images.paths.sorted_rows()
    return Parts(rows, codes[list(rows)].tobytes())


def _by_path(images: MatchedImages) -> Sequence[int]:
    """The rows in the order of paths; those of one image in the order of its labels."""
    rows = images.paths.sorted_rows()
    if not images.paths.has_repeats:
        return rows
    return sorted(rows, key=lambda row: (images.paths[row], images.labels[row]))


def _by_labels(images: MatchedImages, labels: Sequence[str], split: BySeed | ByList, matcher: LabelMatcher) -> Parts:
    import numpy as np  # the API does not load it at start

    in_order = _by_path(images)
    rows, of_rows = None, np.asarray(images.labels)
    if not isinstance(in_order, range):  # the usual case needs no copies
        rows = np.asarray(in_order)
        of_rows = of_rows[rows]
    places = positions_of_values(of_rows)
    if isinstance(split, ByList):
        id_labels, ood_labels = matcher.of_list(split, places)
    else:
        id_labels, ood_labels = random_id_split(places, labels, seed=split.seed, id_fraction=split.id_fraction)
    if both := {*id_labels} & {*ood_labels}:
        raise _overlap(labels, both)
    unused = len(PARTS)
    codes = np.full(len(of_rows), unused, np.uint8)
    for label in ood_labels:
        codes[places[label]] = PARTS.index("ood")
    for label in id_labels:
        codes[places[label]] = PARTS.index("train")
        of_label = places[label] if rows is None else rows[places[label]]
        paths = images.paths.taken(of_label.tolist())
        held_out = held_out_positions(paths, fraction=split.held_out, seed=split.seed)
        codes[places[label][held_out]] = PARTS.index("held_out")
    del places, of_rows
    used = codes != unused
    if used.all():
        return Parts(in_order, codes.tobytes())
    return Parts(_as_rows(np.flatnonzero(used) if rows is None else rows[used]), codes[used].tobytes())


def _by_parts(images: MatchedImages, num_labels: int, split: ByParts) -> Parts:
    import numpy as np  # the API does not load it at start

    part_codes = np.asarray(images.part_codes)
    used_codes = np.unique(part_codes).tolist()
    named = {images.parts[code] for code in used_codes}
    if "train" not in named:
        found = ", ".join(f'"{name}"' for name in sorted(filter(None, named))[:10]) or "none"
        detail = f"no image is in a part for training, such as train/; the parts are {found}"
        raise FolderError("no_such_folder", detail, "/path")
    measured = (_chosen_parts(split.measure, named) or named) - {None, "train"}
    if not measured:
        raise FolderError("no_such_folder", "there is no part to measure on, such as val/ or test/", "/path")
    if None in named:
        nowhere = np.flatnonzero(part_codes == images.parts.index(None))
        first = listed_path(images.paths[int(nowhere[0])])
        detail = (
            f"{counted(len(nowhere), 'image is', 'images are')} in no part, such as {first}: leave "
            "them out by a pattern in exclude"
        )
        raise FolderError("no_part", detail, "/images/exclude")
    shows_seen_only = _shows_seen_only(images, num_labels, part_codes == images.parts.index("train"))
    is_published = "val_on_train" in named  # then `val` holds OOD labels only
    train, held_out, ood = map(PARTS.index, LABELLED_PARTS)
    codes = np.full(len(images), len(PARTS), np.uint8)  # of no part
    for code in used_codes:
        name, rows = images.parts[code], part_codes == code
        if name not in measured | {"train"}:
            continue
        if name in LABELLED_PARTS:
            codes[rows] = PARTS.index(name)
        elif is_published:
            codes[rows] = held_out if name == "val_on_train" else ood
        else:
            codes[rows] = np.where(shows_seen_only[rows], held_out, ood)
    by_path = np.asarray(_by_path(images))
    by_path = by_path[codes[by_path] <= max(train, held_out, ood)]
    ordered = by_path[np.lexsort((np.asarray(images.labels)[by_path], codes[by_path]))]
    return Parts(_as_rows(ordered), codes[ordered].tobytes())


def _shows_seen_only(
    images: MatchedImages, num_labels: int, in_training: "npt.NDArray[np.bool_]"
) -> "npt.NDArray[np.bool_]":
    """Whether training has images of each label of an image, (N,). `in_training` (N,)."""
    import numpy as np  # the API does not load it at start

    trained = np.zeros(num_labels, np.bool_)
    if images.label_sets is None:
        of_images = np.asarray(images.labels)
        trained[of_images[in_training]] = True
        of_image: npt.NDArray[np.bool_] = trained[of_images]
        return of_image
    offsets, values = np.asarray(images.label_sets.offsets), np.asarray(images.label_sets.values)
    trained[values[np.repeat(in_training, np.diff(offsets))]] = True
    seen_only: npt.NDArray[np.bool_] = np.logical_and.reduceat(trained[values], offsets[:-1])
    return seen_only


def _as_rows(rows: "npt.NDArray[np.int32 | np.int64]") -> Sequence[int]:
    """Rows without numpy's numbers; a range if they are all rows in order."""
    if not rows[:1].any() and bool((rows[1:] == rows[:-1] + 1).all()):
        return range(len(rows))
    packed = array("i" if rows.itemsize == 4 else "q")
    packed.frombytes(rows.data.cast("B"))
    return packed


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
        raise _overlap(image_index.labels, both)
    if not train:
        raise FolderError("no_images", "no image is left to train on", "/split")
    if len(train) == 1:
        detail = (
            f"only {_names_of(image_index.labels, train)} has images to train on; training needs at least two labels"
        )
        raise FolderError("one_label", detail, "/split")
    if untrained := set(image_index.id_labels) - train:
        detail = f"{_names_of(image_index.labels, untrained)}: images are held out, but none are left to train on"
        raise FolderError("no_images", detail, "/split")
    if not image_index.ood_labels and not image_index.labels_of("held_out") and not _measures_nothing(split):
        detail = 'no image is held out and no label is OOD; {"by": "all"} trains on everything, without measurement'
        raise FolderError("nothing_to_measure", detail, "/split")


def _measures_nothing(split: Split) -> bool:
    """Whether a split trains on everything by intent."""
    return isinstance(split, AllImages) or (
        isinstance(split, BySeed) and split.id_fraction == 1 and split.held_out == 0
    )


def _overlap(names: Sequence[str], labels: set[int]) -> FolderError:
    return FolderError("id_ood_overlap", f"{_names_of(names, labels)}: a label is either ID or OOD, not both", "/split")


def _names_of(names: Sequence[str], labels: set[int]) -> str:
    return ", ".join(f'"{names[label]}"' for label in sorted(labels)[:5])
