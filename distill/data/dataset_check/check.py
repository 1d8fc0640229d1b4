"""Checks the images of a dataset before it is used: unusable files and copies leave its index, and a report says so.

Files that cannot be decoded leave before the split is drawn, so that a label without a usable image is neither seen nor
unseen. A dataset without faults has the same index as without the check. Then images of the same picture in several
parts are refused or moved (`distill.data.dataset_check.duplicate_policy`). Imports neither torch nor, before the first
image is opened, numpy and Pillow.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from distill.data.dataset.scan import MatchedDataset, index_images, split_dataset
from distill.data.dataset.splitting import check_usable
from distill.data.dataset_check.duplicate_policy import Positions, Resolution, resolve_duplicates
from distill.data.dataset_check.report import CheckFindings, Duplicates, dataset_report
from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex, Item
from distill.data.packed_strings import PackedPaths, PackedStrings
from distill.data.splits import Split
from distill.hooks import PipelineHooks
from limbeck.shared.images.dataset_report import Check, DatasetReport, DuplicateAction, NearDuplicateAction
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from distill.data.dataset_check.inspection import ImageFacts
    from distill.data.row_cache import Keys


class DatasetCheck(BaseModel):
    """How the images of a dataset are checked, and what is done with images of the same picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: Check = Field(
        "full",
        description="`full`: open every image; the results are cached. `names`: open none, if reading takes too long.",
    )
    duplicates: DuplicateAction = Field(
        "refuse",
        description="The same file in training and in a measured part, or under a seen and an unseen label: refuse the "
        "dataset, move it to training or leave the copy out, or keep it. Needs `check` full.",
    )
    near_duplicates: NearDuplicateAction = Field(
        "report", description="The same for pictures that look the same, such as a photo saved again in another size."
    )

    @field_validator("duplicates", "near_duplicates")
    @classmethod
    def _needs_images(cls, action: str, info: ValidationInfo) -> str:
        if info.data.get("check") == "names" and action in ("move", "refuse"):
            raise ValueError(f'"{action}" needs check "full": with "names" no image is opened')
        return action


@dataclass(frozen=True, eq=False)
class CheckedDataset:
    """The image index of the usable images, the report, and the reason of each file that cannot be decoded.

    `shorter_sides_px`: of the images that can be decoded; empty if no image was opened. `contents`: their sha256
    (N, 32); None if no image was opened.
    """

    image_index: ImageIndex
    report: DatasetReport
    unreadable: Mapping[str, str]
    shorter_sides_px: Sequence[int] = ()
    contents: "Keys | None" = None


def check_dataset(
    matched: MatchedDataset,
    split: Split,
    options: DatasetCheck,
    *,
    cache: Path,
    num_workers: int,
    hooks: PipelineHooks | None = None,
) -> CheckedDataset:
    """Open the images, leave out what is unusable, split the rest, and treat images of the same picture.

    Facts about the images are cached below `cache`. Raises FolderError as `scan_dataset`, and duplicate_images and
    near_duplicate_images; Stopped.
    """
    notes: list[str] = []
    image_index = index_images(matched, split, notes)  # an unusable split is refused before any image is opened
    if options.check == "names":
        matched.listing.notes.extend(notes)
        return CheckedDataset(image_index, dataset_report(matched, image_index, options, None), {})
    from distill.data.dataset_check.inspection import inspect_images

    paths = sorted({*matched.images.paths, *matched.unlabelled})  # so that examples do not depend on the disk's order
    files = PackedPaths(matched.root, PackedStrings(paths), range(len(paths)))
    facts = inspect_images(files, cache=cache, num_workers=num_workers, hooks=hooks or PipelineHooks())
    unreadable = {paths[row]: reason for row, reason in facts.reasons.items()}
    usable = replace(
        matched,
        images=matched.images.without(unreadable),
        unlabelled=[path for path in matched.unlabelled if path not in unreadable],
    )
    items: list[Item | None] = list(_split(usable, split, unreadable))
    duplicates = _resolve(items, paths, facts, matched.labels, options)
    image_index = ImageIndex.of(matched.root, matched.labels, (item for item in items if item is not None))
    with _explained(unreadable):
        check_usable(image_index, split)
    findings = CheckFindings(paths, facts, duplicates)
    report = dataset_report(matched, image_index, options, findings)
    shorter_sides_px = facts.sides_px[facts.readable].min(axis=1).tolist()
    return CheckedDataset(image_index, report, unreadable, shorter_sides_px, facts.digests[facts.readable])


def _split(usable: MatchedDataset, split: Split, unreadable: Mapping[str, str]) -> list[Item]:
    with _explained(unreadable):
        return split_dataset(usable, split, usable.listing.notes).items


@contextmanager
def _explained(unreadable: Mapping[str, str]) -> Iterator[None]:
    """Add to an error of the split that files were left out before it."""
    try:
        yield
    except FolderError as error:
        if not unreadable:
            raise
        path, reason = next(iter(unreadable.items()))
        detail = (
            f"{error.detail} ({counted(len(unreadable), 'image')} that cannot be decoded were left out before, such as "
            f'"{shown_path(path)}": {reason})'
        )
        raise FolderError(error.code, detail, error.pointer) from None


def _resolve(
    items: list[Item | None], paths: Sequence[str], facts: "ImageFacts", labels: Sequence[str], options: DatasetCheck
) -> Duplicates:
    """Find images of the same picture, and treat those in several parts; changes `items`."""
    from distill.data.dataset_check.duplicates import exact_duplicates, near_duplicates

    near = near_duplicates(facts)
    exact_groups = exact_duplicates(facts)
    positions = _positions(items, paths, {row for group in (*exact_groups, *near.groups) for row in group})

    def of_rows(groups: Sequence[tuple[int, ...]]) -> list[Positions]:
        return [[at for row in group for at in positions.get(row, ())] for group in groups]

    def resolved(groups: Sequence[tuple[int, ...]], action: DuplicateAction | NearDuplicateAction) -> Resolution:
        return resolve_duplicates(items, of_rows(groups), action, labels, are_exact=groups is exact_groups)

    exact = resolved(exact_groups, options.duplicates)
    return Duplicates(exact, resolved(near.groups, options.near_duplicates), near.num_plain, near.num_not_compared)


def _positions(items: Sequence[Item | None], paths: Sequence[str], rows: set[int]) -> dict[int, list[int]]:
    """The positions among `items` of the images in these rows of `paths`; one image has several if it has labels."""
    row_of = {paths[row]: row for row in rows}
    positions: dict[int, list[int]] = {}
    for at, item in enumerate(items):
        if item is not None and (row := row_of.get(item.path)) is not None:
            positions.setdefault(row, []).append(at)
    return positions
