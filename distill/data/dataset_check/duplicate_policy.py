"""What happens to images of the same picture in several parts of a dataset, or under several labels. No torch.

A picture that is trained on must not be measured, and a picture under a seen label must not be measured as unseen. With
`move`, for each group of images of the same picture:

- If one of them is in training, held-out images under the label of a training image move to training, and held-out
  images under other labels are left out.
- Unlabelled images are left out.
- If one of them is under a seen label, in training or held out, the OOD images are left out.

Images of the same picture within one part are only reported, also under two labels of it. N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from distill.data.image_folders import FolderError
from distill.data.image_index import Item
from distill.data.splits import PARTS
from limbeck.shared.images.dataset_report import DuplicateAction, NearDuplicateAction
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.text import counted

Positions = Sequence[int]
"""Positions of items that show the same picture."""

_MAX_NAMED = 3


@dataclass(frozen=True)
class SamePicture:
    """A group of items of the same picture, by their positions, as they were before anything was moved."""

    positions: tuple[int, ...]
    items: tuple[Item, ...]

    @property
    def across_parts(self) -> bool:
        """Whether the items are in more than one part."""
        return len({"train" if item.part == "unlabelled" else item.part for item in self.items}) > 1

    @property
    def seen_and_unseen(self) -> bool:
        """Whether items are under a seen and under an unseen label."""
        return len({item.part == "ood" for item in self.items if item.part != "unlabelled"}) > 1

    @property
    def contradictory(self) -> bool:
        """Whether the items are under more than one label."""
        return len({item.all_labels for item in self.items if item.part != "unlabelled"}) > 1


@dataclass
class Resolution:
    """The groups of same pictures, and what was done with them: positions of items that moved or were left out."""

    groups: list[SamePicture] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    left_out: list[int] = field(default_factory=list)


def resolve_duplicates(
    items: list[Item | None],
    groups: Sequence[Positions],
    action: DuplicateAction | NearDuplicateAction,
    labels: Sequence[str],
    *,
    are_exact: bool,
) -> Resolution:
    """Apply `action` to `items`, in place: an item that is left out becomes None. Groups of one file are ignored.

    Raises FolderError duplicate_images or near_duplicate_images for `refuse` and groups across parts.
    """
    resolution = Resolution()
    for group in groups:
        held = [(at, item) for at in group if (item := items[at]) is not None]
        if len({item.path for _, item in held}) > 1:
            resolution.groups.append(SamePicture(tuple(at for at, _ in held), tuple(item for _, item in held)))
    across = [picture for picture in resolution.groups if picture.across_parts]
    if across and action == "refuse":
        raise _refusal(across, labels, are_exact=are_exact)
    if action == "move":
        for picture in across:
            _separate(items, picture, resolution)
    return resolution


def _separate(items: list[Item | None], group: SamePicture, resolution: Resolution) -> None:
    """Keep a picture in one part."""
    trained_or_measured = [item for item in group.items if item.part != "unlabelled"]
    trained = {label for item in group.items if item.part == "train" for label in item.all_labels}
    for at, item in zip(group.positions, group.items, strict=True):
        if item.part == "unlabelled":
            items[at] = None if trained_or_measured else item
        elif item.part == "ood":
            items[at] = None if group.seen_and_unseen else item
        elif item.part == "held_out" and trained:
            items[at] = item._replace(part="train") if trained.intersection(item.all_labels) else None
        if items[at] is None:
            resolution.left_out.append(at)
        elif items[at] != item:
            resolution.moved.append(at)


def _refusal(across: Sequence[SamePicture], labels: Sequence[str], *, are_exact: bool) -> FolderError:
    shown = "; ".join(_named(group, labels) for group in across[:_MAX_NAMED])
    more = f"; and {len(across) - _MAX_NAMED} more" if len(across) > _MAX_NAMED else ""
    code = "duplicate_images" if are_exact else "near_duplicate_images"
    field_name, other = ("duplicates", "keep") if are_exact else ("near_duplicates", "report")
    count = counted(len(across), "picture is", "pictures are")
    detail = (
        f"{count} in more than one part of the dataset: {shown}{more}. Set {field_name} to move, so that "
        f"no picture of the training is measured, or to {other}"
    )
    return FolderError(code, detail, f"/{field_name}")


def _named(group: SamePicture, labels: Sequence[str]) -> str:
    first: dict[str, Item] = {}
    for item in group.items:
        first.setdefault(item.part, item)
    return " = ".join(
        f'"{shown_path(first[part].path)}" ({_place(first[part], labels)})' for part in PARTS if part in first
    )


def _place(item: Item, labels: Sequence[str]) -> str:
    return ", ".join((item.part, *(labels[label] for label in item.all_labels)))
