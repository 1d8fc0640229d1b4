"""Arguments of `python -m distill evaluate`, checked before any model is loaded. Imports no torch."""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from distill.bundle.verify import BundleError, Manifest, verify_bundle
from distill.cli.arguments import (
    add_attribute_arguments,
    add_image_arguments,
    add_text_arguments,
    match_given_images,
    prompt_options,
    read_given_labels,
    text_kind,
)
from distill.cli.attribute_files import LabelsWithLines
from distill.cli.label_files import read_labels_and_ids
from distill.config.model_names import check_teacher
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.dataset.scan import index_images, scan_dataset
from distill.data.dataset.trained_on import LABELS_FILE, TrainedOn, read_trained_on
from distill.data.files.exclusion import Exclusion, rule_against
from distill.data.image_folders import FolderError, class_folders, resolve_folder
from distill.data.image_index import ImageIndex, Item
from distill.data.image_source import ImageSource
from distill.data.layouts.unlabelled import unlabelled_paths
from distill.data.splits import NO_LABEL, SPLIT
from distill.evaluation.named_images import NamedImages
from distill.texts.text_templates import PromptOptions
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.label_matching import without_labels
from limbeck.shared.labels import unique_names
from limbeck.shared.templates import TextKind
from limbeck.shared.text import counted

MAX_NAMED = 3
CLASSIFIER_LABELS = "labels.json"  # as in `distill.cli.classifier`, which imports torch

DESCRIPTION = """\
Evaluate the student of a bundle on a folder of images, without the service.

Labels that the student was trained on are seen, all others unseen, with any split; images that it was trained on
are left out. Without --labels, the labels and texts of the bundle are used, and no teacher is needed. Other labels are
encoded by --teacher, or by the text encoder in the bundle's pairing/.
"""


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments:
    """The checked arguments. `notes`: what the readers of the files report. `given`: the labels
    with their lines; None for the labels and texts of the bundle.

    `text`: the kind of texts of the given labels. `baseline`: a folder that a closed-set run wrote. `save`: whether
    the bundle gets the results.
    """

    bundle: Path
    manifest: Manifest
    trained_on: TrainedOn
    image_index: ImageIndex
    notes: list[str]
    given: LabelsWithLines | None
    text: TextKind
    prompt: PromptOptions
    teacher: str | None
    cache: Path
    device: str
    json_file: Path | None
    domains: tuple[NamedImages, ...]
    far: NamedImages | None
    outliers: tuple[str, ...]
    corruption_images: int
    baseline: Path | None
    save: bool

    @property
    def has_further_sets(self) -> bool:
        """Whether more than the images of the labels is measured."""
        return bool(self.domains or self.far or self.outliers or self.corruption_images)


def argument_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m distill evaluate",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a bundle, with image/ and targets/")
    files = parser.add_argument_group("images and labels")
    add_image_arguments(files)
    add_attribute_arguments(files)
    options = parser.add_argument_group("options")
    add_text_arguments(options)
    options.add_argument("--teacher", help="also measure this teacher, and encode labels with it")
    options.add_argument(
        "--split",
        default='{"by":"all","part":"test"}',
        metavar="JSON",
        help='images to measure on; default {"by":"all","part":"test"}: all',
    )
    further = parser.add_argument_group("further sets")
    further.add_argument(
        "--domains", type=Path, metavar="DIR", help="folder of domains, each a folder of class folders in another style"
    )
    further.add_argument(
        "--far",
        type=Path,
        metavar="DIR",
        help="images of other things, with or without labels, for the open-set results",
    )
    further.add_argument(
        "--outliers", type=Path, metavar="FILE", help="label file of outlier labels, for the open-set score `outliers`"
    )
    further.add_argument(
        "--corruptions",
        type=int,
        default=0,
        metavar="IMAGES",
        help="images for the 15 corruptions of ImageNet-C at 5 strengths; 200 take some five minutes on a CPU",
    )
    further.add_argument(
        "--baseline",
        type=Path,
        metavar="DIR",
        help="with --corruptions: folder `classifier` in --out of a run with protocol=closed_set",
    )
    further.add_argument(
        "--save", action="store_true", help="add the results to the evaluation and the model card of the bundle"
    )
    options.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    options.add_argument("--cache", type=Path, help="decoded images and features (default: BUNDLE/../evaluate-cache)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the evaluation to a file")
    return parser


def read_evaluate_arguments(argv: Sequence[str]) -> EvaluateArguments:
    """The checked arguments of a command line. Raises ValueError and its subclasses, and SystemExit for its syntax."""
    namespace = argument_parser().parse_args(argv)
    bundle: Path = namespace.bundle
    if not bundle.is_dir():
        raise ValueError(f"{bundle} is not a folder: give the folder of a bundle")
    try:
        manifest = verify_bundle(bundle, partial=True)
    except BundleError as error:
        raise ValueError(str(error)) from None
    if missing := [name for name in ("image", "targets") if not (bundle / name).is_dir()]:
        raise ValueError(f"{bundle} lacks {' and '.join(f'{name}/' for name in missing)}: download them too")
    if namespace.teacher is not None:
        check_teacher(namespace.teacher)
    given = _given_labels(namespace)
    if given is not None and namespace.teacher is None and not (bundle / "pairing").is_dir():
        raise ValueError("--labels need a text encoder: give --teacher, or download the pairing/ of the bundle")
    labels = _labels_of(bundle) if given is None else given.labels
    folder_map, ids = ({}, None) if given is None else (given.folder_map, given.ids)
    matched, split = match_given_images(namespace, labels, folder_map, ids)
    notes = list(given.notes) if given else []
    image_index = index_images(matched, split, notes)
    _check_further(namespace)
    domains = tuple(_domains(namespace.domains, labels, notes)) if namespace.domains else ()
    far = _far(namespace.far, labels, notes) if namespace.far else None
    outliers = tuple(_outliers(namespace.outliers, labels, notes)) if namespace.outliers else ()
    return EvaluateArguments(
        bundle=bundle,
        manifest=manifest,
        trained_on=read_trained_on(bundle),
        image_index=image_index,
        notes=[*notes, *matched.listing.report()],
        given=given,
        text=text_kind(namespace),
        prompt=prompt_options(namespace),
        teacher=namespace.teacher,
        cache=namespace.cache or bundle.parent / "evaluate-cache",
        device=namespace.device,
        json_file=namespace.json,
        domains=domains,
        far=far,
        outliers=outliers,
        corruption_images=namespace.corruptions,
        baseline=namespace.baseline,
        save=namespace.save,
    )


def _check_further(namespace: argparse.Namespace) -> None:
    if namespace.corruptions < 0:
        raise ValueError(f"--corruptions {namespace.corruptions} is below 0: give a number of images")
    if namespace.baseline is not None:
        if not namespace.corruptions:
            raise ValueError("--baseline is for corruptions: give --corruptions too")
        if not (namespace.baseline / CLASSIFIER_LABELS).is_file():
            raise ValueError(
                f"--baseline {namespace.baseline} holds no {CLASSIFIER_LABELS}: give the folder `classifier` in --out "
                "of a run with protocol=closed_set"
            )
    if namespace.outliers and namespace.teacher is None and not (namespace.bundle / "pairing").is_dir():
        raise ValueError("--outliers need a text encoder: give --teacher, or download the pairing/ of the bundle")
    if namespace.save and namespace.labels is not None:
        raise ValueError("--save is for the labels of the bundle: leave --labels out")


def _domains(folder: Path, labels: list[str], notes: list[str]) -> Iterator[NamedImages]:
    """Each folder in a folder, with class folders of these labels; `notes` get what is left out."""
    if not folder.is_dir():
        raise ValueError(f"--domains {folder} is not a folder")
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not rule_against(path.name))
    if not names:
        raise ValueError(f"--domains {folder} holds no folder: give a folder that has one for each domain")
    split = SPLIT.validate_python({"by": "all", "part": "test"})
    matcher = LabelMatcher(labels)
    for name in names:
        source = ImageSource(unmatched="skip")
        with _option_named(f"--domains {shown_path(folder / name)}", partial(_other_folders, folder / name, matcher)):
            scanned = scan_dataset(folder / name, labels, split, None, source)
        notes += [f"domain {shown_path(name)}: {line}" for line in scanned.listing.report()]
        yield NamedImages(name=name, image_index=scanned.image_index)


def _far(folder: Path, labels: list[str], notes: list[str]) -> NamedImages:
    """The images below a folder that are in no class folder of one of these labels: those are not unknown."""
    with _option_named(f"--far {shown_path(folder)}"):
        root = resolve_folder(folder)
        exclusion = Exclusion((), lambda _reason, _path: None, set())
        paths = unlabelled_paths(root.parent, [root], exclusion)
    matcher = LabelMatcher(labels)
    known = {
        below
        for below in {PurePosixPath(path).parent for path in paths}
        if any(matcher.find(part) for part in below.parts[1:])
    }
    unknown = [path for path in paths if PurePosixPath(path).parent not in known]
    if not unknown:
        raise ValueError(
            f"--far {shown_path(folder)}: each image is in a folder of a label; give images of other things"
        )
    if num_known := len(paths) - len(unknown):
        notes.append(f"far images: {num_known:,} in folders of labels are left out, because they are not unknown")
    items = [Item(path, NO_LABEL, "unlabelled") for path in unknown]
    return NamedImages(name=root.name, image_index=ImageIndex.of(root.parent, (), items))


@contextmanager
def _option_named(option: str, hint: Callable[[], str] = str) -> Iterator[None]:
    """Says in an error of a folder which option names the folder. `hint`: for one in which no image is found."""
    try:
        yield
    except FolderError as error:
        raise ValueError(f"{option}: {error.detail}{hint() if error.code == 'no_images' else ''}") from None


def _other_folders(domain: Path, matcher: LabelMatcher) -> str:
    """What a domain has in place of folders of labels; empty if it has no folder, or one of a label."""
    names = [path.name for path in class_folders(domain.resolve())]
    if not names or any(map(matcher.find, names)):
        return ""
    shown = ", ".join(map(shown_path, names[:MAX_NAMED])) + " …" * (len(names) > MAX_NAMED)
    return f"; no label is called like its folders ({shown}): a domain is a folder with a folder for each label"


def _outliers(file: Path, labels: Sequence[str], notes: list[str]) -> list[str]:
    """The outlier labels of a file, without those that are labels. Raises ValueError if none is left."""
    found = read_labels_and_ids(file, notes.append)[0]
    outliers = without_labels(found, labels)
    if not outliers:
        raise ValueError(f"--outliers {file} names only labels of the student: give labels of other things")
    if num_left_out := len(found) - len(outliers):
        left_out = counted(num_left_out, "outlier label is", "outlier labels are")
        notes.append(f"{left_out} left out: labels of the student, or another spelling of an outlier label")
    return outliers


def _given_labels(namespace: argparse.Namespace) -> LabelsWithLines | None:
    if namespace.labels is None and namespace.label2text is None:
        for option in ("attributes", "sentences", "text", "template"):
            if getattr(namespace, option):
                raise ValueError(f"--{option} is for other labels than the bundle's: give --labels too")
        if namespace.concept:
            raise ValueError("--concept is for other labels than the bundle's: give --labels too")
        return None
    return read_given_labels(namespace)


def _labels_of(bundle: Path) -> list[str]:
    entries = json.loads((bundle / LABELS_FILE).read_text(encoding="utf-8"))["labels"]
    return unique_names([(str(entry["label"]), entry.get("sense")) for entry in entries])
