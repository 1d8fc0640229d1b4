"""The report of a dataset on a terminal."""

import io

from rich.console import Console

from limbeck.shared.images.dataset_report import (
    DatasetReport,
    DuplicateCounts,
    DuplicateImage,
    DuplicateReport,
    FilesByReason,
    ImageKinds,
    ImageSizes,
    ImagesPerLabel,
    LabelCount,
    NamedFiles,
    NamedLabels,
    SideLengths,
)
from limbeck.shared.images.report_text import print_dataset_report

NO_FILES, NO_LABELS = NamedFiles(count=0, examples=()), NamedLabels(count=0, examples=())
COPIES = (
    DuplicateImage(path="crane/[1].jpg", label="crane", part="train"),
    DuplicateImage(path="heron/2.jpg", label="heron", part="ood"),
)
COUNTS = DuplicateCounts(
    num_groups=1,
    num_images=2,
    num_redundant=1,
    across_parts=1,
    seen_and_unseen=1,
    contradictory=1,
    num_moved=0,
    num_left_out=1,
    examples=(COPIES,),
)
NONE = COUNTS.model_copy(update={"num_groups": 0, "examples": ()})
REPORT = DatasetReport(
    check="full",
    duplicates="move",
    near_duplicates="report",
    layout="class_folders",
    num_images=1_300,
    num_used=1_234,
    parts={"train": 1_000, "held_out": 34, "ood": 200, "id_labels": 12, "ood_labels": 11},
    images_per_label=ImagesPerLabel(
        num_labels=23,
        min=2,
        median=50.5,
        max=99,
        fewest=(LabelCount(label="auk", num_images=2),),
        most=(LabelCount(label="crane", num_images=99),),
    ),
    labels_without_images=NamedLabels(count=1, examples=("ibis",)),
    labels_without_usable_images=NO_LABELS,
    unreadable=(FilesByReason(reason="OSError: truncated", count=3, examples=("crane/7.jpg",)),),
    skipped=(FilesByReason(reason="not an image (.txt)", count=2, examples=("notes.txt",)),),
    sizes=ImageSizes(
        width=SideLengths(min=10, median=200, max=4_000),
        height=SideLengths(min=20, median=100.5, max=3_000),
        smaller_than={32: 5, 224: 700},
        elongated=NO_FILES,
    ),
    kinds=ImageKinds(
        rotated=NamedFiles(count=4, examples=("crane/8.jpg",)), transparent=NO_FILES, deep=NO_FILES, animated=NO_FILES
    ),
    duplicate_images=DuplicateReport(exact=COUNTS, near=NONE, num_plain=6, num_not_compared=0),
    notes=("read by folders",),
    warnings=("look [here]",),
)


def printed(report: DatasetReport) -> str:
    out = io.StringIO()
    print_dataset_report("birds", report, console=Console(file=out, width=200, highlight=False))
    return out.getvalue()


def test_every_finding_is_printed() -> None:
    text = printed(REPORT)
    for part in (
        "birds: 1,234 of 1,300 images are used (layout class_folders; every image was opened)",
        "1,000 images, and 34 held out, of 12 labels",
        "2 to 99, median 50.5",
        "auk (2)",
        "1: ibis",
        "3: OSError: truncated, such as crane/7.jpg",
        "2: not an image (.txt), such as notes.txt",
        "10 to 4,000 px, median 200",
        "5 below 32 px, 700 below 224 px",
        "4 images, such as crane/8.jpg",
        "2 images of 1 picture; 1 picture in several parts; 1 under a seen and an unseen label",
        "crane/[1].jpg (train, crane), heron/2.jpg (ood, heron)",
        "too plain to compare",
        "note: read by folders",
        "warning: look [here]",
    ):
        assert part in text, part
    assert "transparent" not in text
    assert "same look" in text


def test_names_only() -> None:
    text = printed(REPORT.model_copy(update={"check": "names", "sizes": None, "kinds": None, "duplicate_images": None}))
    assert "no image was opened" in text
    assert "same content" not in text


def test_one_image_is_an_image() -> None:
    parts = {"train": 1, "held_out": 0, "ood": 1, "id_labels": 1, "ood_labels": 1}
    lines = " | ".join(map(str.strip, printed(REPORT.model_copy(update={"parts": parts})).splitlines()))
    assert "1 image, and 0 held out, of 1 label |" in lines
    assert "1 image of 1 label |" in lines
