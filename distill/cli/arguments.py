"""What the command line of `python -m distill` asks for, held against what there is before anything heavy is loaded.

Without torch: a typing error is told at once.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.bundle.verify import MANIFEST_FILE, file_sha256
from distill.cli.label_files import Lines, read_attributes, read_labels
from distill.config.model_names import check_student, check_teacher
from distill.config.recipes import RECIPES, resolve_train_config
from distill.config.reference import help_text
from distill.config.train_config import TrainConfig
from distill.data.few_shot import supports
from distill.data.image_index import SPLIT, ImageIndex, scan
from distill.texts.text_templates import TEXT_KINDS, PromptOptions, TextKind


@dataclass(frozen=True, kw_only=True)
class RunArguments:
    """What was asked for on the command line, held against what can be."""

    labels: list[str]
    lines: list[Lines]
    image_index: ImageIndex
    teacher: str
    text: TextKind
    prompt: PromptOptions
    recipe: str
    config: TrainConfig
    out: Path
    cache: Path
    captions: Path | None = None
    start: Path | None = None

    def identity(self) -> dict[str, Any]:
        """What another run in the same folder would differ in."""
        return {
            "images": self.image_index.root,
            "dataset": self.image_index.digest,
            "attributes": [list(said) for said in self.lines],
            "teacher": self.teacher,
            "text": self.text,
            "prompt": self.prompt.model_dump(mode="json"),
            "captions": None if self.captions is None else file_sha256(self.captions),
            "start": None if self.start is None else file_sha256(self.start / MANIFEST_FILE),
            "config": self.config.identity(),
        }


def argument_parser(program: str, description: str) -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=help_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    need = parser.add_argument_group("what it is made from")
    need.add_argument("--images", type=Path, required=True, help="folder with one folder of images for each label")
    need.add_argument("--labels", type=Path, required=True, help="text file, a label a line")
    need.add_argument("--attributes", type=Path, help="attribute set: Limbeck's JSON, or DCLIP's")
    need.add_argument("--teacher", required=True, help="ViT-B-32:openai, hf-hub:org/name or local-dir:PATH")
    need.add_argument("--out", type=Path, required=True, help="folder for the bundle, the report and the state")
    need.add_argument("--captions", type=Path, metavar="JSON", help="for losses.cap: image path -> caption")
    need.add_argument("--start", type=Path, metavar="BUNDLE", help="for protocol=fine_tune: the student to go on from")
    how = parser.add_argument_group("how")
    how.add_argument("--text", choices=TEXT_KINDS, help="default: sentence with attributes, else names")
    how.add_argument("--concept", default="", help='one word for all labels: "bird"')
    how.add_argument(
        "--template", action="append", metavar="TEXT", help='with {} for the name; default "a photo of {}"'
    )
    how.add_argument("--student", help="a timm model (default: the recipe's)")
    how.add_argument("--recipe", choices=list(RECIPES), default="limbeck")
    how.add_argument(
        "--set", action="append", default=[], metavar="SETTING=VALUE", help="a setting; the list below has all of them"
    )
    how.add_argument(
        "--split", default='{"by":"seed"}', metavar="JSON", help='default {"by":"seed"}, half ID, half OOD'
    )
    how.add_argument("--folder-map", type=Path, metavar="JSON", help="file: folder name -> label")
    how.add_argument("--cache", type=Path, help="teacher features and decoded pictures (default: in OUT/work)")
    return parser


def validate_arguments(given: argparse.Namespace) -> RunArguments:
    """Everything that can be checked without loading a model. Raises ValueError and its kind."""
    overrides: dict[str, Any] = {} if given.student is None else {"student": given.student}
    for assignment in given.set:
        _assign(overrides, assignment)
    config = resolve_train_config(given.recipe, overrides)
    check_student(config.student.architecture)
    check_teacher(given.teacher)
    text: TextKind = given.text or ("sentence" if given.attributes else "names")
    if text != "names" and given.attributes is None:
        raise ValueError(f"--text {text} needs --attributes")
    _check_files(given, config)
    labels = read_labels(given.labels)
    lines: list[Lines] = [()] * len(labels)
    if given.attributes:
        lines = read_attributes(given.attributes, labels)
    folder_map = _json(given.folder_map.read_text(encoding="utf-8"), "--folder-map") if given.folder_map else None
    split = SPLIT.validate_python(_json(given.split, "--split"))
    image_index = scan(given.images, labels, split, folder_map)
    if config.data.shots:
        supports(image_index, config.data.shots)
    return RunArguments(
        labels=labels,
        lines=lines,
        image_index=image_index,
        teacher=given.teacher,
        text=text,
        prompt=PromptOptions(concept=given.concept, **({"templates": given.template} if given.template else {})),
        recipe=given.recipe,
        config=config,
        out=given.out,
        cache=given.cache or given.out / "work" / "cache",
        captions=given.captions,
        start=given.start,
    )


def _check_files(given: argparse.Namespace, config: TrainConfig) -> None:
    if (given.start is None) == (config.data.protocol == "fine_tune"):
        raise ValueError(
            "protocol fine_tune goes on from a student: give its bundle by --start"
            if given.start is None
            else f"--start is for protocol fine_tune, and the protocol is {config.data.protocol}: set one of them"
        )
    if given.start is not None and not (given.start / MANIFEST_FILE).is_file():
        raise ValueError(f"--start {given.start} holds no {MANIFEST_FILE}: give the folder of a bundle")
    if given.captions is not None and not given.captions.is_file():
        raise ValueError(f"--captions {given.captions} cannot be read: there is no such file")
    if given.captions is not None and config.objective.losses.above_zero().get("cap") is None:
        raise ValueError("--captions is for the loss cap, which has no weight: add --set losses.cap=1")


def _assign(overrides: dict[str, Any], assignment: str) -> None:
    path, equals, value = assignment.partition("=")
    if not equals or not path:
        raise ValueError(f'--set "{assignment}" is not of the form field=value')
    *above, name = path.split(".")
    for step in above:
        overrides = overrides.setdefault(step, {})
    try:
        overrides[name] = json.loads(value)
    except ValueError:
        overrides[name] = value


def _json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{option} is not JSON: {error}") from error
