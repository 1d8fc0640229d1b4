"""The report of a dataset on a terminal: for `limbeck dataset report` and `python -m distill report`."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from limbeck.shared.images.dataset_report import (
    DatasetReport,
    DuplicateCounts,
    DuplicateImage,
    FilesByReason,
    ImageKinds,
    ImageSizes,
    ImagesPerLabel,
    LabelCount,
    NamedFiles,
    NamedLabels,
)
from limbeck.shared.text import clean, counted

_MAX_CHARS = 160
_MAX_GROUPS, _MAX_OF_GROUP = 5, 4


def print_dataset_report(name: str, report: DatasetReport, *, console: Console | None = None) -> None:
    """Print the report of the dataset `name`: figures, files, images of the same picture, then warnings."""
    console = console or Console(highlight=False)
    console.print(f"[bold]{escape(clean(name, _MAX_CHARS))}[/bold]: {_summary(report)}\n")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for title, text in _rows(report):
        table.add_row(title, escape(clean(text, 10 * _MAX_CHARS)))
    console.print(table)
    if found := report.duplicate_images:
        _print_groups(console, "same content", found.exact)
        _print_groups(console, "same look", found.near)
    for note in report.notes:
        console.print(f"\nnote: {escape(note)}")
    for warning in report.warnings:
        console.print(f"\n[bold yellow]warning:[/bold yellow] {escape(warning)}")


def _summary(report: DatasetReport) -> str:
    opened = "every image was opened" if report.check == "full" else "no image was opened"
    return f"{report.num_used:,} of {report.num_images:,} images are used (layout {report.layout}; {opened})"


def _rows(report: DatasetReport) -> Iterable[tuple[str, str]]:
    parts = report.parts
    trained, of_labels = counted(parts["train"], "image"), counted(parts["id_labels"], "label")
    yield "training", f"{trained}, and {parts['held_out']:,} held out, of {of_labels}"
    yield "unseen", f"{counted(parts['ood'], 'image')} of {counted(parts['ood_labels'], 'label')}"
    if num_unlabelled := parts.get("unlabelled"):
        yield "without labels", counted(num_unlabelled, "image")
    yield from _label_rows(report.images_per_label)
    if sets := report.labels_per_image:
        yield (
            "labels per image",
            f"{sets.min:,} to {sets.max:,}, mean {sets.mean:.2f}; {sets.num_several:,} have several",
        )
    yield from _labels_row("labels without images", report.labels_without_images)
    yield from _labels_row("labels without usable images", report.labels_without_usable_images)
    yield from _file_rows("cannot be decoded", report.unreadable)
    yield from _file_rows("skipped", report.skipped)
    if report.sizes:
        yield from _size_rows(report.sizes)
    if report.kinds:
        yield from _kind_rows(report.kinds)
    if found := report.duplicate_images:
        yield "same content", _duplicate_text(found.exact)
        yield "same look", _duplicate_text(found.near)
        if found.num_plain:
            yield "too plain to compare", counted(found.num_plain, "image")


def _label_rows(labels: ImagesPerLabel) -> Iterable[tuple[str, str]]:
    yield "images per label", f"{labels.min:,} to {labels.max:,}, median {labels.median:g}"
    if labels.min < labels.max:
        yield "fewest images", _counted(labels.fewest)
        yield "most images", _counted(labels.most)


def _counted(labels: Sequence[LabelCount]) -> str:
    return ", ".join(f"{one.label} ({one.num_images:,})" for one in labels)


def _labels_row(title: str, labels: NamedLabels) -> Iterable[tuple[str, str]]:
    if labels.count:
        more = ", …" if labels.count > len(labels.examples) else ""
        yield title, f"{labels.count:,}: {', '.join(labels.examples)}{more}"


def _file_rows(title: str, files: Sequence[FilesByReason]) -> Iterable[tuple[str, str]]:
    for one in files:
        yield title, f"{one.count:,}: {one.reason}, such as {', '.join(one.examples[:2])}"


def _size_rows(sizes: ImageSizes) -> Iterable[tuple[str, str]]:
    for side, lengths in (("width", sizes.width), ("height", sizes.height)):
        yield side, f"{lengths.min:,} to {lengths.max:,} px, median {lengths.median:g}"
    if smaller := ", ".join(f"{count:,} below {px} px" for px, count in sizes.smaller_than.items() if count):
        yield "shorter side", smaller
    yield from _named_row("elongated", sizes.elongated)


def _kind_rows(kinds: ImageKinds) -> Iterable[tuple[str, str]]:
    yield from _named_row("rotated by EXIF", kinds.rotated)
    yield from _named_row("transparent", kinds.transparent)
    yield from _named_row("more than 8 bits", kinds.deep)
    yield from _named_row("animated", kinds.animated)


def _named_row(title: str, files: NamedFiles) -> Iterable[tuple[str, str]]:
    if files.count:
        yield title, f"{counted(files.count, 'image')}, such as {', '.join(files.examples[:2])}"


def _duplicate_text(counts: DuplicateCounts) -> str:
    if not counts.num_groups:
        return "none"
    text = f"{counted(counts.num_images, 'image')} of {counted(counts.num_groups, 'picture')}"
    for number, what in (
        (counts.across_parts, f"{counted(counts.across_parts, 'picture')} in several parts"),
        (counts.seen_and_unseen, f"{counts.seen_and_unseen:,} under a seen and an unseen label"),
        (counts.contradictory, f"{counts.contradictory:,} under several labels"),
        (counts.num_moved, f"{counted(counts.num_moved, 'image')} moved to training"),
        (counts.num_left_out, f"{counted(counts.num_left_out, 'image')} left out"),
    ):
        text += f"; {what}" if number else ""
    return text


def _print_groups(console: Console, title: str, counts: DuplicateCounts) -> None:
    shown = counts.examples[:_MAX_GROUPS]
    if shown:
        console.print(f"\n[bold]{title}[/bold] ({len(shown)} of {counts.num_groups:,} pictures)")
    for images in shown:
        more = ", …" if len(images) > _MAX_OF_GROUP else ""
        console.print(escape(f"  {', '.join(map(_image_text, images[:_MAX_OF_GROUP]))}{more}"))


def _image_text(image: DuplicateImage) -> str:
    return f"{image.path} ({image.part if image.label is None else f'{image.part}, {image.label}'})"
