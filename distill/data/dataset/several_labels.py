"""Images with several labels: refused, or used by choice; and one part for each image. Imports no torch.

With `all`, an image is one row with the set of its labels (`distill.data.dataset.multi_label`). With `each`, an image
has a row for each of its labels. All rows of an image are in one part, so that no image is trained on and measured: it
is in training if one of its labels put it there, and it is not used as an OOD image if it also shows a label that is
trained on.
"""

from collections.abc import Iterable, Sequence

from distill.data.columns.label_sets import LabelSets
from distill.data.dataset.matched_images import MatchedImages
from distill.data.image_folders import FolderError
from distill.data.image_index import Item
from distill.data.image_source import SeveralLabels
from distill.data.shards import listed_path
from distill.data.splits import PARTS, Part
from limbeck.shared.labels import quoted
from limbeck.shared.text import counted

_USES = {"first": "count under their first label", "leave_out": "are left out", "each": "count under each label"}


def one_label_each(
    images: MatchedImages, labels: Sequence[str], policy: SeveralLabels, notes: list[str]
) -> MatchedImages:
    """The images after the policy; a label that is repeated counts once. Adds to `notes` what was done.

    With `all`, each image has a set of labels, also if it has only one. Raises FolderError several_labels if several
    are refused.
    """
    if policy == "all":
        return _sets(images, notes)
    if not images.paths.has_repeats:  # a million images need no million lists
        return images
    of_path: dict[str, list[int]] = {}
    for image in images:
        found = of_path.setdefault(image.path, [])
        if image.label not in found:
            found.append(image.label)
    several = {path: found for path, found in of_path.items() if len(found) > 1}
    if several and policy == "refuse":
        path, found = next(iter(several.items()))
        names = ", ".join(quoted(labels[label]) for label in found[:5])
        detail = (
            f"{len(several):,} of {len(of_path):,} images have several labels, the first is "
            f"{quoted(listed_path(path))} ({names}): "
            'give images.several_labels "all" (a multi-label dataset), "first", "each" or "leave_out"'
        )
        raise FolderError("several_labels", detail, "/images/several_labels")
    if several:
        notes.append(f"{counted(len(several), 'image')} with several labels {_USES[policy]}")
    kept: dict[tuple[str, int], int] = {}
    for row, image in enumerate(images):
        found = of_path[image.path]
        if len(found) == 1 or policy == "each" or (policy == "first" and image.label == found[0]):
            kept.setdefault((image.path, image.label), row)
    return images.taken(list(kept.values()))


def _sets(images: MatchedImages, notes: list[str]) -> MatchedImages:
    """Each image once, at its first row, with the set of its labels."""
    of_path: dict[str, tuple[int, list[int]]] = {}
    for row, image in enumerate(images):
        of_path.setdefault(image.path, (row, []))[1].append(image.label)
    label_sets = LabelSets(labels for _, labels in of_path.values())
    notes.append(
        f"multi-label: {counted(len(label_sets), 'image has', 'images have')} "
        f"{len(label_sets.values) / max(1, len(label_sets)):.2f} labels "
        "on average"
    )
    return images.taken([row for row, _ in of_path.values()]).with_sets(label_sets)


def one_part_each(items: Iterable[Item], notes: list[str]) -> list[Item]:
    """The items in the same order, with all rows of an image in one part. Adds to `notes` what was moved."""
    items = list(items)
    if len({item.path for item in items}) == len(items):
        return items
    first: dict[str, Item] = {}
    several: dict[str, Part] = {}
    for item in items:
        known = first.setdefault(item.path, item)
        if known.label != item.label:
            several[item.path] = min(several.get(item.path, known.part), item.part, key=PARTS.index)
    kept: list[Item] = []
    num_moved, num_left_out = 0, 0
    for item in items:
        part = several.get(item.path, item.part)
        if item.part == "ood" and part != "ood":
            num_left_out += 1
        else:
            num_moved += part != item.part
            kept.append(item._replace(part=part))
    if num_moved:
        notes.append(
            f"{counted(num_moved, 'held-out image is', 'held-out images are')} in training "
            "instead, where another of their labels put them"
        )
    if num_left_out:
        notes.append(
            f"{counted(num_left_out, 'OOD image is', 'OOD images are')} left out because of another label, which is "
            "trained on"
        )
    return kept
