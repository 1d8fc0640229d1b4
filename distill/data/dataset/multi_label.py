"""The split by labels of a multi-label dataset: no image that shows an unseen label is trained on. Imports no torch.

- An image with an unseen label is OOD, whatever other labels it has.
- Of the images that show seen labels only, a share is held out, in an order that depends on the seed and the path. An
  image stays in training if one of its labels would have no training image without it.
- A label whose images all show an unseen label too has no image to train on. If it was drawn as seen, it counts as
  unseen; if it was listed as seen, the split is refused.
- Labels that a list names neither as seen nor as unseen are ignored: they are taken from the sets of labels.

N images, K labels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.matched_images import MatchedImages
from distill.data.image_folders import FolderError
from distill.data.splits import PARTS, ByList, BySeed, held_out_positions, random_id_split
from limbeck.shared.labels import quoted
from limbeck.shared.text import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

TRAIN, HELD_OUT, OOD = map(PARTS.index, ("train", "held_out", "ood"))
_SHOWN = 5


def of_listed_labels(images: MatchedImages, split: ByList, matcher: LabelMatcher) -> MatchedImages:
    """The images with the labels that the split lists; an image without one is left out. Raises FolderError."""
    assert images.label_sets is not None
    id_labels, ood_labels = matcher.of_list(split, images.used_labels())
    return images.with_sets(images.label_sets.without_others((*id_labels, *ood_labels)))


def part_codes(
    images: MatchedImages, labels: Sequence[str], split: BySeed | ByList, matcher: LabelMatcher, notes: list[str]
) -> "npt.NDArray[np.uint8]":
    """The position in `PARTS` (N,) of each image. Adds to `notes` what the split changes. Raises FolderError."""
    import numpy as np  # the API does not load it at start

    assert images.label_sets is not None
    used = images.used_labels()
    if isinstance(split, ByList):
        id_labels, ood_labels = matcher.of_list(split, used)
        if both := {*id_labels} & {*ood_labels}:
            detail = f"{_names(labels, both)}: a label is either ID or OOD, not both"
            raise FolderError("id_ood_overlap", detail, "/split")
    else:
        id_labels, ood_labels = random_id_split(used, labels, seed=split.seed, id_fraction=split.id_fraction)
    unseen = frozenset(ood_labels)
    sets = [frozenset(found) for found in images.label_sets]
    is_ood = [bool(found & unseen) for found in sets]
    trainable = [row for row, ood in enumerate(is_ood) if not ood]
    if not trainable:
        detail = (
            f"each of the {len(images):,} images shows an unseen label, so that none is left to train on: make more "
            "labels seen (id_fraction), or list labels that are seen together"
        )
        raise FolderError("no_images", detail, "/split")
    num_training = dict.fromkeys(id_labels, 0)
    for row in trainable:
        for label in sets[row]:
            num_training[label] += 1
    _report_untrainable({label for label, number in num_training.items() if not number}, labels, split, notes)
    codes = np.where(is_ood, OOD, TRAIN).astype(np.uint8)
    by_path = sorted(trainable, key=images.paths.__getitem__)
    paths = [images.paths[row] for row in by_path]
    for at in held_out_positions(paths, fraction=split.held_out, seed=split.seed).tolist():
        of_image = sets[by_path[at]]
        if all(num_training[label] > 1 for label in of_image):
            codes[by_path[at]] = HELD_OUT
            for label in of_image:
                num_training[label] -= 1
    return codes


def _report_untrainable(found: set[int], labels: Sequence[str], split: BySeed | ByList, notes: list[str]) -> None:
    """What becomes of seen labels whose images all show an unseen label. Raises FolderError for listed ones."""
    if not found:
        return
    if isinstance(split, ByList):
        detail = (
            f"{_names(labels, found)}: each image also shows an unseen label, so that none is left to train on; make "
            "the label unseen, or the labels beside it seen"
        )
        raise FolderError("no_images", detail, "/split/id")
    notes.append(
        f"{counted(len(found), 'label drawn as seen counts', 'labels drawn as seen count')} as unseen, because each of "
        f"their images also shows an unseen label: {_names(labels, found)}"
    )


def _names(names: Sequence[str], labels: set[int]) -> str:
    return ", ".join(quoted(names[label]) for label in sorted(labels)[:_SHOWN]) + (" …" if len(labels) > _SHOWN else "")
