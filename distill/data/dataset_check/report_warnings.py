"""The warnings of a dataset report: what to look at before a training. Imports no torch."""

from collections.abc import Iterable, Iterator, Sequence

from limbeck.shared.images.dataset_report import DatasetReport, DuplicateCounts, DuplicateImage
from limbeck.shared.text import counted

MAX_NAMED = 5


def report_warnings(report: DatasetReport) -> Iterator[str]:
    """What to look at in a report, most important first, one line each."""
    if report.unreadable:
        count = sum(files.count for files in report.unreadable)
        first = report.unreadable[0]
        yield f"left out {counted(count, 'image')} that cannot be decoded, such as {first.examples[0]} ({first.reason})"
    if (labels := report.labels_without_usable_images).count:
        shown = ", ".join(labels.examples[:MAX_NAMED])
        yield f"{counted(labels.count, 'label')} without a usable image, neither seen nor unseen: {shown}"
    if report.duplicate_images is None:
        yield "no image was opened: damaged files and duplicates are not known"
    else:
        yield from _duplicate_warnings("the same content", report.duplicate_images.exact)
        yield from _duplicate_warnings("the same look", report.duplicate_images.near)
        if number := report.duplicate_images.num_not_compared:
            look_alikes = counted(number, "image looks", "images look")
            yield f"{look_alikes} like too many others to be compared with all of them"
    if (labels := report.labels_without_images).count:
        shown = ", ".join(labels.examples[:MAX_NAMED])
        more = " …" if labels.count > MAX_NAMED else ""
        yield f"{counted(labels.count, 'label')} without images, neither seen nor unseen: {shown}{more}"


def _duplicate_warnings(what: str, counts: DuplicateCounts) -> Iterator[str]:
    if counts.across_parts:
        example = " = ".join(f"{image.path} ({image.part})" for image in _one_of_each_part(counts.examples[0]))
        done = (
            f"{counts.num_moved} moved to training, {counts.num_left_out} left out"
            if counts.num_moved or counts.num_left_out
            else "they are kept, and accuracies may be too high"
        )
        groups = counted(counts.across_parts, "group")
        yield f"{groups} of images with {what} in several parts: {done}; such as {example}"
    if counts.contradictory:
        yield f"{counted(counts.contradictory, 'group')} of images with {what} under several labels"


def _one_of_each_part(images: Sequence[DuplicateImage]) -> Iterable[DuplicateImage]:
    first: dict[str, DuplicateImage] = {}
    for image in images:
        first.setdefault(image.part, image)
    return first.values()
