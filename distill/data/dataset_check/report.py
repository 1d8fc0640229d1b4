"""Builds the report of a checked dataset (`limbeck.shared.images.dataset_report`). Imports no torch. N images."""

import re
from collections.abc import Iterable, Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple, Protocol

from distill.data.dataset.scan import MatchedDataset
from distill.data.dataset_check.duplicate_policy import Resolution, SamePicture
from distill.data.dataset_check.report_warnings import report_warnings
from distill.data.image_index import ImageIndex
from distill.data.packed_strings import PackedStrings
from distill.data.splits import NO_LABEL
from limbeck.shared.images.dataset_report import (
    Check,
    DatasetReport,
    DuplicateAction,
    DuplicateCounts,
    DuplicateImage,
    DuplicateReport,
    FilesByReason,
    ImageKinds,
    ImageSizes,
    ImagesPerLabel,
    LabelCount,
    LabelsPerImage,
    NamedFiles,
    NamedLabels,
    NearDuplicateAction,
    SideLengths,
)
from limbeck.shared.images.file_names import shown_path

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from distill.data.dataset_check.inspection import ImageFacts

SMALL_PX = (32, 64, 96, 128, 224, 384)
ELONGATED = 4
MAX_FILES, MAX_LABELS, MAX_GROUPS, MAX_OF_GROUP = 5, 20, 20, 20


class Duplicates(NamedTuple):
    """Images of the same picture, and what was done with them; `num_plain` and `num_not_compared` of the near ones."""

    exact: Resolution
    near: Resolution
    num_plain: int
    num_not_compared: int


class CheckFindings(NamedTuple):
    """What a full check found: the paths of the images, the facts about each, and the images of the same picture."""

    paths: Sequence[str]
    facts: "ImageFacts"
    duplicates: Duplicates


class Checked(Protocol):
    """How a dataset was checked."""

    @property
    def check(self) -> Check: ...
    @property
    def duplicates(self) -> DuplicateAction: ...
    @property
    def near_duplicates(self) -> NearDuplicateAction: ...


def dataset_report(
    matched: MatchedDataset, image_index: ImageIndex, options: Checked, findings: CheckFindings | None
) -> DatasetReport:
    """The report of a dataset; without `findings`, no image was opened."""
    listed = matched.images.used_labels()
    used = set(image_index.num_images_of_labels)
    report = DatasetReport(
        check=options.check,
        duplicates=options.duplicates if findings else "keep",
        near_duplicates=options.near_duplicates,
        layout=matched.listing.layout,
        num_images=_num_different(matched.images.paths, matched.unlabelled),
        num_used=_num_different(image_index.paths),
        parts=image_index.counts,
        images_per_label=_images_per_label(image_index),
        labels_per_image=_labels_per_image(image_index),
        labels_without_images=_labels(matched.labels, set(range(len(matched.labels))) - listed),
        labels_without_usable_images=_labels(matched.labels, _unusable_labels(matched, findings, used)),
        unreadable=_unreadable(findings) if findings else (),
        skipped=_skipped(matched),
        sizes=_sizes(findings) if findings else None,
        kinds=_kinds(findings) if findings else None,
        duplicate_images=_duplicates(findings.duplicates, matched.labels) if findings else None,
        notes=tuple(matched.listing.notes),
        warnings=(),
    )
    return report.model_copy(update={"warnings": tuple(report_warnings(report))})


def _num_different(paths: PackedStrings, others: Sequence[str] = ()) -> int:
    """The number of different paths."""
    return len({*paths, *others}) if others or paths.has_repeats else len(paths)


def _images_per_label(image_index: ImageIndex) -> ImagesPerLabel:
    counts = {label: number for label, number in image_index.num_images_of_labels.items() if label != NO_LABEL}
    ordered = sorted(counts, key=lambda label: (counts[label], label))

    def named(labels: Iterable[int]) -> tuple[LabelCount, ...]:
        return tuple(LabelCount(label=image_index.labels[label], num_images=counts[label]) for label in labels)

    return ImagesPerLabel(
        num_labels=len(counts),
        min=min(counts.values()),
        median=float(median(counts.values())),
        max=max(counts.values()),
        fewest=named(ordered[:MAX_FILES]),
        most=named(reversed(ordered[-MAX_FILES:])),
    )


def _labels_per_image(image_index: ImageIndex) -> LabelsPerImage | None:
    if image_index.label_sets is None:
        return None
    numbers = [len(labels) for labels in image_index.label_sets if labels]
    return LabelsPerImage(
        min=min(numbers), mean=sum(numbers) / len(numbers), max=max(numbers), num_several=sum(n > 1 for n in numbers)
    )


def _labels(names: Sequence[str], labels: set[int]) -> NamedLabels:
    return NamedLabels(count=len(labels), examples=tuple(names[label] for label in sorted(labels)[:MAX_LABELS]))


def _unusable_labels(matched: MatchedDataset, findings: CheckFindings | None, used: set[int]) -> set[int]:
    """Labels outside the index with images that were left out; not those that the split does not use."""
    if findings is None:
        return set()
    bad = {findings.paths[row] for row in findings.facts.reasons}
    unreadable = matched.images.used_labels() - matched.images.without(bad).used_labels()
    duplicates = findings.duplicates
    left_out = {
        label
        for resolution in (duplicates.exact, duplicates.near)
        for group in resolution.groups
        for item in group.items
        for label in item.all_labels
    }
    return (unreadable | left_out) - used


def _unreadable(findings: CheckFindings) -> tuple[FilesByReason, ...]:
    by_reason: dict[str, list[int]] = {}
    for row, reason in findings.facts.reasons.items():
        by_reason.setdefault(_general(reason), []).append(row)
    largest_first = sorted(by_reason, key=lambda reason: (-len(by_reason[reason]), reason))
    return tuple(
        FilesByReason(reason=reason, **_named(findings.paths, by_reason[reason]).model_dump())
        for reason in largest_first
    )


def _general(reason: str) -> str:
    """A reason without what differs from file to file, such as Pillow's address of a stream."""
    return re.sub(r" <_io\.BytesIO object at 0x[0-9a-f]+>", "", shown_path(reason))


def _skipped(matched: MatchedDataset) -> tuple[FilesByReason, ...]:
    skipped = matched.listing.skipped
    return tuple(
        FilesByReason(
            reason=reason, count=count, examples=tuple(map(shown_path, skipped.examples.get(reason, ())[:MAX_FILES]))
        )
        for reason, count in sorted(skipped.counts.items(), key=lambda one: (-one[1], one[0]))
    )


def _named(paths: Sequence[str], rows: "Sequence[int] | npt.NDArray[np.int64]") -> NamedFiles:
    return NamedFiles(count=len(rows), examples=tuple(shown_path(paths[int(row)]) for row in rows[:MAX_FILES]))


def _sizes(findings: CheckFindings) -> ImageSizes | None:
    facts = findings.facts
    sides = facts.sides_px[facts.readable]
    if not len(sides):
        return None
    shorter, longer = facts.sides_px.min(axis=1), facts.sides_px.max(axis=1)
    width, height = (
        SideLengths(min=int(side.min()), median=float(median(side.tolist())), max=int(side.max())) for side in sides.T
    )
    return ImageSizes(
        width=width,
        height=height,
        smaller_than={px: int((shorter[facts.readable] < px).sum()) for px in SMALL_PX},
        elongated=_named(findings.paths, (longer > ELONGATED * shorter).nonzero()[0]),
    )


def _kinds(findings: CheckFindings) -> ImageKinds:
    kinds = findings.facts.kinds
    return ImageKinds(**{kind: _named(findings.paths, mask.nonzero()[0]) for kind, mask in kinds.items()})


def _duplicates(duplicates: Duplicates, labels: Sequence[str]) -> DuplicateReport:
    return DuplicateReport(
        exact=_counts(duplicates.exact, labels),
        near=_counts(duplicates.near, labels),
        num_plain=duplicates.num_plain,
        num_not_compared=duplicates.num_not_compared,
    )


def _counts(resolution: Resolution, labels: Sequence[str]) -> DuplicateCounts:
    groups = resolution.groups
    worst_first = sorted(groups, key=lambda group: (not group.across_parts, not group.contradictory))
    num_images = sum(len(group.items) for group in groups)
    return DuplicateCounts(
        num_groups=len(groups),
        num_images=num_images,
        num_redundant=num_images - len(groups),
        across_parts=sum(group.across_parts for group in groups),
        seen_and_unseen=sum(group.seen_and_unseen for group in groups),
        contradictory=sum(group.contradictory for group in groups),
        num_moved=len(resolution.moved),
        num_left_out=len(resolution.left_out),
        examples=tuple(_shown_group(group, labels) for group in worst_first[:MAX_GROUPS]),
    )


def _shown_group(group: SamePicture, labels: Sequence[str]) -> tuple[DuplicateImage, ...]:
    return tuple(
        DuplicateImage(
            path=shown_path(item.path),
            label=", ".join(map(labels.__getitem__, item.all_labels)) or None,
            part=item.part,
        )
        for item in group.items[:MAX_OF_GROUP]
    )
