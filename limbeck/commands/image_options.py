"""Options that say where the images of a dataset are and which of them count: for `run` and `dataset create`."""

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from limbeck.commands.common import BadInput, assignments, read_text

if TYPE_CHECKING:
    from limbeck.shared.images.dataset_report import Check, DuplicateAction, NearDuplicateAction

_UPLOAD = re.compile(r"upl_[0-9a-z]{26}(/|$)")
DEFAULT_SPLIT = "seed=0,id_fraction=0.5,held_out=0.3"

Split = Annotated[
    str, typer.Option(help="Seen and unseen labels: seed=0,id_fraction=0.5,held_out=0.3; parts; all; or JSON.")
]
Source = Annotated[
    str, typer.Option(help='How the images are given, as JSON: {"layout": "table", "file": "train.csv"}.')
]
FolderMap = Annotated[
    str,
    typer.Option(help='Folder name to label: {"012.Crane": "crane"}, or a file with such JSON or two columns of CSV.'),
]
OnlyMatching = Annotated[
    bool,
    typer.Option("--only-matching", help="Use only folders that have a label, and only labels that have a folder."),
]
Unlabelled = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FOLDER", help="A folder of images without labels to train on too, in the data root. Repeatable."
    ),
]
CheckImages = Annotated[str, typer.Option(help="full: open every image at registration; names: open none.")]
Duplicates = Annotated[str, typer.Option(help="Copies of an image in several parts: refuse (default), move, keep.")]
NearDuplicates = Annotated[
    str, typer.Option(help="Pictures that look the same in several parts: report (default), move, refuse.")
]


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """The checked options. `source`: the field `images` of the API."""

    path: str
    split: Mapping[str, object]
    source: Mapping[str, object] = field(default_factory=dict)
    folder_map: Mapping[str, str] = field(default_factory=dict)
    only_matching: bool = False
    unlabelled: Sequence[str] = ()
    check: "Check" = "full"
    duplicates: "DuplicateAction | None" = None
    near_duplicates: "NearDuplicateAction | None" = None

    def fields(self) -> dict[str, Any]:
        """The options of `client.datasets.create`, without the vocabulary."""
        return {
            **self._place(),
            "split": self.split,
            "images": self.source,
            "folder_map": self.folder_map,
            "unlabelled": self.unlabelled,
            "check": self.check,
            "duplicates": self.duplicates,
            "near_duplicates": self.near_duplicates,
        }

    def _place(self) -> dict[str, str | None]:
        """`upl_…/birds` is a folder in an upload, and anything else one in the data root."""
        if not _UPLOAD.match(self.path):
            return {"path": self.path}
        upload_id, _, path = self.path.partition("/")
        return {"upload_id": upload_id, "path": path.strip("/") or None}

    def plan(self, *, opens_images: bool) -> dict[str, object]:
        """The dataset of a plan. Without `opens_images` only the names of files are read."""
        given = {name: value for name, value in self.fields().items() if value}
        if not opens_images:
            given = {name: given[name] for name in given if name not in ("duplicates", "near_duplicates")}
            given["check"] = "names"
        return given


def image_options(
    path: str,
    *,
    split: str,
    source: str,
    folder_map: str,
    only_matching: bool,
    unlabelled: Sequence[str] | None,
    check: str,
    duplicates: str,
    near_duplicates: str,
) -> ImageOptions:
    """Check the options of a command line. Raises BadInput."""
    from limbeck.shared.images.dataset_report import Check, DuplicateAction, NearDuplicateAction

    given = parse_source(source)
    if only_matching:
        if given.get("unmatched", "skip") != "skip":
            raise BadInput('--only-matching leaves out what --source asks to refuse ("unmatched"): give one of them')
        given["unmatched"] = "skip"
    return ImageOptions(
        path=path,
        split=parse_split(split),
        source=given,
        folder_map=parse_folder_map(folder_map),
        only_matching=only_matching,
        unlabelled=tuple(unlabelled or ()),
        check=_choice(check, "--check", get_args(Check)),
        duplicates=_choice(duplicates or None, "--duplicates", get_args(DuplicateAction)),
        near_duplicates=_choice(near_duplicates or None, "--near-duplicates", get_args(NearDuplicateAction)),
    )


def parse_split(text: str) -> dict[str, object]:
    """`parts`, `all`, a JSON object, or `seed=…,id_fraction=…,held_out=…`, as the API's `split`. Raises BadInput."""
    if text in ("parts", "folders", "all"):
        return {"by": text}
    if text.lstrip().startswith("{"):
        return _json_object(text, "--split")
    return {"by": "seed"} | assignments(re.split(r"\s*,\s*", text.strip()), "--split")


def parse_source(text: str) -> dict[str, object]:
    """A JSON object, as the API's `images`; empty for an empty text. Raises BadInput."""
    return _json_object(text, "--source") if text else {}


def parse_folder_map(text: str) -> dict[str, str]:
    """Folder name → label, from JSON or from a file with JSON or two columns of CSV. Raises BadInput."""
    if not text:
        return {}
    content = text if text.lstrip().startswith("{") else read_text(Path(text))
    if content.lstrip().startswith("{"):
        mapping = _json_object(content, "--folder-map")
    else:
        rows = [row for row in csv.reader(io.StringIO(content)) if any(cell.strip() for cell in row)]
        if any(len(row) != 2 for row in rows):
            raise BadInput(f"--folder-map {text}: give two columns, the folder and its label")
        mapping = {folder.strip(): label.strip() for folder, label in rows}
    if unusable := [folder for folder, label in mapping.items() if not isinstance(label, str)]:
        raise BadInput(f"--folder-map: the label of {unusable[0]!r} must be a text")
    return {folder: str(label) for folder, label in mapping.items()}


def _json_object(text: str, option: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadInput(f"{option} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadInput(f"{option} {text!r}: give a JSON object")
    return value


def _choice(text: Any, option: str, choices: Sequence[str]) -> Any:
    """One of the choices, or None. Raises BadInput."""
    if text is not None and text not in choices:
        raise BadInput(f"{option} {text!r}: choose one of {', '.join(choices)}")
    return text


def counts_text(counts: Mapping[str, int]) -> str:
    """The images and labels of a dataset in one line."""
    unlabelled = f"; {counts['unlabelled']:,} unlabelled images" if counts.get("unlabelled") else ""
    if not counts["held_out"] and not counts["ood"]:
        images = f"{counts['train']:,} training images of {counts['id_labels']:,} labels, none to measure on"
        return f"{images}{unlabelled}"
    return (
        f"{counts['train']:,} training images and {counts['held_out']:,} held-out images of {counts['id_labels']} seen "
        f"labels; {counts['ood']:,} images of {counts['ood_labels']} unseen labels{unlabelled}"
    )
