"""Arguments of `python -m distill`, checked before any model is loaded.

Imports no torch, so that a typing error is reported at once.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from distill.bundle.verify import MANIFEST_FILE, file_sha256
from distill.cli.attribute_files import LabelsWithLines, Lines, read_attributes, read_label2text
from distill.cli.check_options import add_check_options, check_options
from distill.cli.label_files import read_labels_and_ids
from distill.config.automatic import fit_to_images
from distill.config.model_names import check_student, check_teacher
from distill.config.multi_label import check_multi_label
from distill.config.recipes import RECIPES, resolve_train_config
from distill.config.reference import help_text
from distill.config.train_config import TrainConfig, expand_short_names, located, merged
from distill.config.training_estimate import num_trained
from distill.data.dataset.label_matcher import LabelIds
from distill.data.dataset.scan import MatchedDataset, index_images, match_dataset
from distill.data.dataset_check.check import DatasetCheck
from distill.data.few_shot import support_rows
from distill.data.image_index import ImageIndex
from distill.data.image_source import ImageSource
from distill.data.splits import SPLIT, Split
from distill.json_types import JSONObject
from distill.texts.text_templates import LabelAttributes, PromptOptions, check_some_text
from limbeck.shared.images.file_names import is_utf8, shown_path
from limbeck.shared.parts import LoggerName, exit_if_logger_not_installed, parse_loggers
from limbeck.shared.templates import TEXT_KINDS, TextKind

DESCRIPTION = (
    "A whole run without the service: folders of images and a list of labels in, the bundle of a measured student out."
)


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """The checked arguments of a run. `lines`: the attribute lines of each label; `names`: how texts show it.

    `notes`: what the readers of the files report. `matched`, `split`: the images by their names, and their split.
    `image_index`: of all these images, until `distill.cli.check_images` has opened them.
    `initial_student`: the folder of a bundle to fine-tune. `captions`: a JSON file of image path -> caption. `loggers`:
    where the training is logged.
    """

    labels: list[str]
    names: list[str]
    lines: list[Lines]
    notes: list[str]
    matched: MatchedDataset
    split: Split
    check: DatasetCheck
    image_index: ImageIndex
    teacher: str
    text: TextKind
    prompt: PromptOptions
    recipe: str
    config: TrainConfig
    out: Path
    cache: Path
    captions: Path | None = None
    initial_student: Path | None = None
    loggers: tuple[LoggerName, ...] = ("tensorboard",)

    @property
    def work(self) -> Path:
        """The folder of the training state and the logs."""
        return self.out / "work"

    @property
    def state(self) -> Path:
        """The file of the training state."""
        return self.work / "state.safetensors"

    @property
    def bundle(self) -> Path:
        """The folder of the bundle."""
        return self.out / "bundle"

    def identity(self) -> JSONObject:
        """Values that identify the run, in JSON types: a run with other values needs another folder."""
        start = self.initial_student
        return {
            "images": self.image_index.root,
            "dataset": self.image_index.digest,
            "attributes": [list(lines) for lines in self.lines],
            "teacher": self.teacher,
            "text": self.text,
            "prompt": self.prompt.model_dump(mode="json"),
            "captions": None if self.captions is None else file_sha256(self.captions),
            "start": None if start is None else file_sha256(start / MANIFEST_FILE),
            "weights": self._weights_digest(),
            "config": self.config.identity(),
        }

    def _weights_digest(self) -> str | None:
        """The sha256 of the weights that the student starts from, if they are the user's own."""
        if self.config.student.weights is None:
            return None
        # timm, which this import loads, knows which file of a folder holds the weights.
        from distill.student.initial_weights import weights_path, weights_sha256

        return weights_sha256(weights_path(self.config.student.weights, None))


def argument_parser(program: str, description: str) -> argparse.ArgumentParser:
    """The parser of the command line; its help ends with the list of all training settings."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=help_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    files = parser.add_argument_group("input and output")
    add_image_arguments(files)
    add_attribute_arguments(files)
    files.add_argument(
        "--teacher", required=True, help="ViT-B-32:openai, ViT-B-32:FILE, hf-hub:org/name or local-dir:PATH"
    )
    files.add_argument("--out", type=Path, required=True, help="folder for the bundle, report and training state")
    add_unlabelled_argument(files)
    files.add_argument("--captions", type=Path, metavar="JSON", help="for losses.cap: image path -> caption")
    files.add_argument("--start", type=Path, metavar="BUNDLE", help="for protocol=fine_tune: the initial student")
    options = parser.add_argument_group("options")
    add_text_arguments(options)
    options.add_argument("--student", help="a timm model, such as resnet18.a1_in1k (default: of the recipe)")
    options.add_argument("--recipe", choices=list(RECIPES), default="limbeck")
    options.add_argument(
        "--set", action="append", default=[], metavar="SETTING=VALUE", help="change a setting; all are listed below"
    )
    options.add_argument(
        "--text-onnx", action="store_true", help="put the teacher's text encoder into the bundle, for new labels"
    )
    options.add_argument(
        "--split", default='{"by":"seed"}', metavar="JSON", help='default {"by":"seed"}: half ID, half OOD'
    )
    add_check_options(options)
    options.add_argument(
        "--log-to",
        default="tensorboard",
        metavar="NAMES",
        help='tensorboard (default), wandb, mlflow, separated by commas; "" for none',
    )
    options.add_argument("--cache", type=Path, help="teacher features and decoded images (default: in OUT/work)")
    return parser


def add_image_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the options that name images and labels."""
    group.add_argument(
        "--images", type=Path, required=True, help="folder of class folders, shards, a table or a published dataset"
    )
    group.add_argument(
        "--source", default="{}", metavar="JSON", help='layout and subset: {"layout": "table", "file": "train.csv"}'
    )
    group.add_argument("--folder-map", type=Path, metavar="JSON", help="file: folder name -> label")
    group.add_argument(
        "--only-matching",
        action="store_true",
        help="use only folders that have a label, and only labels that have a folder",
    )
    group.add_argument("--labels", type=Path, help="label file: one label per line, CSV, JSON, YAML …")
    group.add_argument(
        "--label2text", type=Path, help="instead of --labels: one `folder number label` per line; also the folder map"
    )


def add_unlabelled_argument(group: argparse._ArgumentGroup) -> None:
    """Add the option that names folders of images without labels."""
    group.add_argument(
        "--unlabelled",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="also train on the images in DIR (repeatable), by the losses that need no label",
    )


def add_attribute_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the options that name attributes of the labels."""
    group.add_argument("--attributes", type=Path, help="attribute set: Limbeck's JSON, or JSON of label -> texts")
    group.add_argument("--sentences", type=Path, help="with --label2text: one sentence per line, same order")


def add_text_arguments(group: argparse._ArgumentGroup) -> None:
    """Add the options that say how labels and attributes are rendered."""
    group.add_argument("--text", choices=TEXT_KINDS, help="default: sentence with attributes, else names")
    group.add_argument("--concept", default="", help='one noun for all labels, such as "bird"')
    group.add_argument(
        "--template",
        action="append",
        metavar="TEXT",
        help='template with {} for the name (repeatable); default "a photo of {}"',
    )


def read_arguments(argv: Sequence[str]) -> RunArguments:
    """The checked arguments of a command line. Raises ValueError and its subclasses, and SystemExit for its syntax."""
    return validate_arguments(argument_parser("python -m distill", DESCRIPTION).parse_args(argv))


def validate_arguments(namespace: argparse.Namespace) -> RunArguments:
    """Check everything that can be checked without loading a model. Raises ValueError and its subclasses."""
    config = _train_config(namespace)
    check_student(config.student.architecture, pretrained=config.student.pretrained)
    check_teacher(namespace.teacher)
    loggers = _loggers(namespace.log_to)
    text = text_kind(namespace)
    _check_files(namespace, config)
    given = read_given_labels(namespace)
    check = check_options(namespace)
    matched, split = _match_images(namespace, given)
    if namespace.only_matching:
        given = given.only(sorted(matched.images.used_labels()))
        matched, split = _match_images(namespace, given)
    check_some_text(text, map(LabelAttributes.of_lines, given.lines))
    image_index = index_images(matched, split, [])
    check_shots(config, image_index)
    if image_index.is_multi_label:
        check_multi_label(config)
    config = fit_to_images(config, num_trained(config, image_index.counts), _num_ranks())
    return RunArguments(
        labels=given.labels,
        names=given.names,
        lines=given.lines,
        notes=[*given.notes, *matched.listing.report()],
        matched=matched,
        split=split,
        check=check,
        image_index=image_index,
        teacher=namespace.teacher,
        text=text,
        prompt=prompt_options(namespace),
        recipe=namespace.recipe,
        config=config,
        out=namespace.out,
        cache=namespace.cache or namespace.out / "work" / "cache",
        captions=namespace.captions,
        initial_student=namespace.start,
        loggers=loggers,
    )


def _num_ranks() -> int:
    """The number of ranks that torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _loggers(text: str) -> tuple[LoggerName, ...]:
    """The loggers; the process ends with one line if the library of one is not installed. Raises ValueError."""
    try:
        names = parse_loggers(text)
    except ValueError as error:
        raise ValueError(f"--log-to: {error}") from None
    exit_if_logger_not_installed(names, "python -m distill")
    return names


def text_kind(namespace: argparse.Namespace) -> TextKind:
    """The kind of texts. Raises ValueError for a kind that needs attributes, without attributes."""
    has_attributes = namespace.attributes is not None or namespace.sentences is not None
    text: TextKind = namespace.text or ("sentence" if has_attributes else "names")
    if text != "names" and not has_attributes:
        raise ValueError(f"--text {text} needs --attributes, or --label2text and --sentences")
    return text


def prompt_options(namespace: argparse.Namespace) -> PromptOptions:
    """The concept and templates. Raises pydantic's ValidationError."""
    templates = {"templates": namespace.template} if namespace.template else {}
    return PromptOptions(concept=namespace.concept, **templates)


def read_given_labels(namespace: argparse.Namespace) -> LabelsWithLines:
    """The labels with their lines. Raises ValueError."""
    if (namespace.labels is None) == (namespace.label2text is None):
        raise ValueError("give either --labels or --label2text")
    if namespace.sentences is not None and (namespace.label2text is None or namespace.attributes is not None):
        raise ValueError("--sentences needs --label2text, and replaces --attributes")
    if namespace.label2text is None:
        notes: list[str] = []
        labels, ids = read_labels_and_ids(namespace.labels, notes.append)
        if namespace.attributes is not None:
            found = read_attributes(namespace.attributes, labels)
            return replace(found, notes=[*notes, *found.notes], ids=ids)
        lines: list[Lines] = [()] * len(labels)
        return LabelsWithLines(labels=labels, names=labels, lines=lines, folder_map={}, notes=notes, ids=ids)
    given = read_label2text(namespace.label2text, namespace.sentences)
    if namespace.attributes is None:
        return given
    found = read_attributes(namespace.attributes, given.labels)
    return replace(given, lines=found.lines, notes=[*given.notes, *found.notes])


def _train_config(namespace: argparse.Namespace) -> TrainConfig:
    """The config of the recipe and the assignments; the last assignment of a setting counts, by either of its names."""
    assignments = [] if namespace.student is None else [{"student": namespace.student}]
    assignments += [{"text_onnx": True}] if namespace.text_onnx else []
    assignments += map(_parse_assignment, namespace.set)
    overrides: dict[str, object] = {}
    short: dict[tuple[str, str], str] = {}
    for assignment in assignments:
        nested, names = expand_short_names(assignment)
        overrides = merged(overrides, nested)
        for section, fields in nested.items():
            for field in fields if isinstance(fields, dict) else ():
                short.pop((section, field), None)
        short |= names
    try:
        return resolve_train_config(namespace.recipe, overrides)
    except ValidationError as error:
        raise located(error, short) from None


def _match_images(namespace: argparse.Namespace, given: LabelsWithLines) -> tuple[MatchedDataset, Split]:
    return match_given_images(namespace, given.labels, given.folder_map, given.ids, namespace.unlabelled)


def match_given_images(
    namespace: argparse.Namespace,
    labels: Sequence[str],
    folder_map: Mapping[str, str],
    label_ids: Sequence[LabelIds] | None,
    unlabelled: Sequence[Path] = (),
) -> tuple[MatchedDataset, Split]:
    """The images of `--images`, and the split. Raises FolderError and ValueError."""
    split = SPLIT.validate_python(parse_json(namespace.split, "--split"))
    source = ImageSource.model_validate(parse_json(namespace.source, "--source"))
    if namespace.only_matching:
        source = source.model_copy(update={"unmatched": "skip"})
    mapped = read_folder_map(namespace.folder_map, folder_map)
    return match_dataset(namespace.images, labels, split, mapped, source, label_ids, unlabelled), split


def read_folder_map(file: Path | None, given: Mapping[str, str]) -> dict[str, str] | None:
    """The folder map of the label file, with that of `--folder-map` before it; None without either."""
    if file is None:
        return dict(given) or None
    stated = parse_json(file.read_text(encoding="utf-8"), "--folder-map")
    if not isinstance(stated, dict) or not all(isinstance(label, str) for label in stated.values()):
        raise ValueError(f'--folder-map {file} must be an object of folder -> label, such as {{"012.Crane": "crane"}}')
    return {**given, **stated}


def check_shots(config: TrainConfig, image_index: ImageIndex) -> None:
    """Raise FewShotError if a label has too few images for few-shot learning."""
    if config.data.shots:
        support_rows(image_index, config.data.shots)


def _check_files(namespace: argparse.Namespace, config: TrainConfig) -> None:
    start, captions, weights = namespace.start, namespace.captions, config.student.weights
    if weights is not None and not Path(weights).expanduser().exists():
        raise ValueError(f"student.weights {weights} does not exist: correct the path")
    for option, folder in (("--out", namespace.out), ("--cache", namespace.cache)):
        if folder is not None and not is_utf8(str(folder.absolute())):  # safetensors cannot write there
            raise ValueError(f"{option} {shown_path(folder.absolute())} is not UTF-8: give a folder whose path is")
    if (start is None) == (config.data.protocol == "fine_tune"):
        raise ValueError(
            "protocol fine_tune needs an initial student: give its bundle by --start"
            if start is None
            else f"--start is for protocol fine_tune, but the protocol is {config.data.protocol}: change one of them"
        )
    if start is not None and not (start / MANIFEST_FILE).is_file():
        raise ValueError(f"--start {start} holds no {MANIFEST_FILE}: give the folder of a bundle")
    if captions is not None and not captions.is_file():
        raise ValueError(f"--captions {captions} cannot be read: there is no such file")
    if captions is not None and config.objective.losses.above_zero().get("cap") is None:
        raise ValueError("--captions is for the loss cap, whose weight is 0: add --set losses.cap=1")


def _parse_assignment(assignment: str) -> dict[str, Any]:
    """`a.b=value` as nested dictionaries; the value is parsed as JSON if it is JSON, else it is a string."""
    path, equals, text = assignment.partition("=")
    names = path.split(".")
    if not equals or not all(names):
        raise ValueError(f'--set "{assignment}" is not of the form setting=value')
    value: Any = text
    with suppress(ValueError):
        value = json.loads(text)
    for name in reversed(names):
        value = {name: value}
    settings: dict[str, Any] = value
    return settings


def parse_json(text: str, option: str) -> Any:
    """The JSON value of an option. Raises ValueError that names the option."""
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{option} is not JSON: {error}") from error
