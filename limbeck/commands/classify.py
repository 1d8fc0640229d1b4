"""`limbeck classify`: classify images with a downloaded student. Needs the bundle, but neither a service nor torch."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import BadInput
from limbeck.shared.images.kinds import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from limbeck.classify import LoadedStudent
    from limbeck.classify.rows import Format
    from limbeck.shared.bundle.open_set import OpenSetScore


_LABELS_HELP = (
    "Classify among these instead: `crane,heron`, or a label file. Needs onnx/text.onnx in the bundle. They are "
    "encoded once, and kept in ~/.cache/limbeck."
)
_SCORE_HELP = (
    "By what an image is `none of these`: cosine, energy, or outliers (look-alikes that an LLM named, which "
    "`python -m distill evaluate --outliers FILE --save` adds to a bundle)."
)
_THRESHOLD_HELP = "Smallest score of an image that a label fits. By default the bundle's, with its false alarms."


def classify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder of a student, with onnx/ and targets/.")],
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE]...", help=f"Images ({' '.join(IMAGE_SUFFIXES)}), folders, or - for an image."),
    ] = None,
    from_file: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="A list of further images, one path per line; - for stdin.")
    ] = None,
    labels: Annotated[str | None, typer.Option(metavar="LABELS", help=_LABELS_HELP)] = None,
    among: Annotated[
        str, typer.Option(metavar="LABELS", help="Candidate labels: all, seen (in training), or unseen.")
    ] = "all",
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Labels per image: 3, or all above the threshold if it can have several."
        ),
    ] = None,
    score: Annotated[str, typer.Option(metavar="SCORE", help=_SCORE_HELP)] = "cosine",
    threshold: Annotated[float | None, typer.Option(metavar="SCORE", help=_THRESHOLD_HELP)] = None,
    no_threshold: Annotated[bool, typer.Option("--no-threshold", help="Never answer `none of these`.")] = False,
    format: Annotated[str, typer.Option(metavar="FORMAT", help="Output: table, jsonl or csv.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="First compare every file with the manifest.")] = False,
) -> None:
    """Show the labels with the highest confidence for each image. Needs no service.

    An image is `none of these` if the cosine of its best label is below the threshold of the bundle, which was chosen
    on held-out images; --score chooses another score, with its own threshold. The line below the table says how often
    an image of a known label is wrongly called so. A student of images with several labels shows all labels above its
    threshold, each with its own probability.

        limbeck classify my-student photo.jpg
        limbeck classify my-student photos --format csv > photos.csv
        limbeck classify my-student photo.jpg --labels "crane,heron,stork"
        limbeck classify my-student photo.jpg --score energy
    """
    if threshold is not None and no_threshold:
        raise BadInput("--threshold and --no-threshold exclude each other")
    if labels is not None and among != "all":
        raise BadInput("--among chooses among the labels of the bundle: leave it out with --labels")
    from limbeck.classify.inputs import STDIN, InputError, find_images, read_stdin
    from limbeck.classify.rows import FORMATS, Format

    chosen: Format | None = next((one for one in FORMATS if one == ("jsonl" if as_json else format)), None)
    if chosen is None:
        raise BadInput(f"--format {format!r}: choose {', '.join(FORMATS)}")
    try:
        paths = find_images(images or [], from_file or [])
        data = read_stdin() if STDIN in paths else b""
    except InputError as error:
        raise BadInput(str(error)) from None
    by = _score(score, threshold)
    has_threshold = threshold is not None or no_threshold or labels is not None
    student = _student(bundle, among, labels, by, needs_threshold=not has_threshold, verify=verify)
    if threshold is not None or no_threshold:
        student = _with_threshold(student, threshold)
    elif student.is_multi_label and student.label_threshold is None:
        raise BadInput(f"{bundle} has no threshold of its labels, which needs 20 held-out images: give --threshold")
    num_failed = _print_rows(student, paths, data, chosen, top)
    if num_failed:
        raise BadInput(f"{num_failed:,} of {len(paths):,} images could not be read")


def _score(name: str, threshold: float | None) -> "OpenSetScore":
    """The score of this name. Raises BadInput, also for a threshold that no image can have."""
    from limbeck.shared.bundle.open_set import OPEN_SET_SCORES

    score = next((one for one in OPEN_SET_SCORES if one == name), None)
    if score is None:
        raise BadInput(f"--score {name!r}: choose {', '.join(OPEN_SET_SCORES)}")
    if threshold is not None and not (math.isfinite(threshold) and (score != "cosine" or -1 <= threshold <= 1)):
        raise BadInput(f"--threshold {threshold}: give a {'cosine, -1 to 1' if score == 'cosine' else 'number'}")
    return score


def _student(
    folder: Path, among: str, labels: str | None, score: "OpenSetScore", *, needs_threshold: bool, verify: bool
) -> "LoadedStudent":
    from limbeck.classify import BundleError, load_student
    from limbeck.classify.bundle import AMONG
    from limbeck.classify.label_option import LabelsError, labels_of
    from limbeck.shared.bundle.files import verify_files

    candidates = next((one for one in AMONG if one == among), None)
    if candidates is None:
        raise BadInput(f"--among {among!r}: choose {', '.join(AMONG)}")
    try:
        names = None if labels is None else labels_of(labels)
        if verify:
            verify_files(folder, partial=True)
        student = load_student(folder, among=candidates)
        if score != "cosine":
            student = student.with_score(score, needs_threshold=needs_threshold)
        return student if names is None else _with_labels(student, names)
    except (BundleError, LabelsError) as error:
        raise BadInput(str(error)) from None


def _with_threshold(student: "LoadedStudent", threshold: float | None) -> "LoadedStudent":
    try:
        return student.with_threshold(threshold)
    except ValueError as error:
        raise BadInput(f"--no-threshold: {error}") from None


def _with_labels(student: "LoadedStudent", names: list[str]) -> "LoadedStudent":
    """The student with labels of the user. Prints progress on stderr."""
    from limbeck.classify.progress_line import ProgressLine
    from limbeck.classify.target_cache import cache_folder

    if student.bundle.text_config().learned_vectors:
        note = "prompt learning wrote the labels of this bundle; new labels are written by its templates"
        print(f"limbeck: note: {note}", file=sys.stderr)
    progress = ProgressLine(len(names), "labels")

    def show(done: int, total: int) -> None:
        progress.update(done * len(names) // total)  # a label can have several texts

    student = student.with_labels(names, show, cache=cache_folder())
    progress.clear()
    return student


def _print_rows(student: "LoadedStudent", paths: list[str], stdin: bytes, format: "Format", top: int | None) -> int:
    """Classify the images and print a row for each. Returns how many could not be read; each has a line on stderr."""
    from limbeck.classify import ImageError
    from limbeck.classify.inputs import STDIN
    from limbeck.classify.progress_line import ProgressLine
    from limbeck.classify.rows import RowWriter

    rows, progress, num_failed = RowWriter(sys.stdout, format, paths, student), ProgressLine(len(paths), "images"), 0
    rows.begin()
    sources = [stdin if path == STDIN else path for path in paths]
    for number, (path, (_, found)) in enumerate(zip(paths, student.classify_many(sources, top=top), strict=True), 1):
        progress.clear()
        if isinstance(found, ImageError):
            print(f"limbeck: {found}", file=sys.stderr)
            num_failed += 1
        else:
            rows.write(path, found)
            sys.stdout.flush()
        progress.update(number)
    rows.end()
    return num_failed
