"""Arguments of `python -m distill evaluate`, checked before any model is loaded. Imports no torch."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
from distill.config.model_names import check_teacher
from distill.data.dataset.scan import index_images
from distill.data.dataset.trained_on import LABELS_FILE, TrainedOn, read_trained_on
from distill.data.image_index import ImageIndex
from distill.texts.text_templates import PromptOptions
from limbeck.shared.labels import unique_names
from limbeck.shared.templates import TextKind

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

    `text`: the kind of texts of the given labels.
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
    )


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
