"""`limbeck classify`: what a downloaded student sees in pictures; timm and the bundle are all it takes."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import BadInput

AMONG = ("all", "seen", "unseen")


def classify(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pictures to look at.")],
    checkpoint: Annotated[Path, typer.Option(help="A downloaded bundle: its folder, with image/ and targets/.")],
    top: Annotated[int, typer.Option(min=1, help="How many labels to show for each.")] = 3,
    among: Annotated[str, typer.Option(help="Labels to choose from: all, seen in training, or unseen.")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line instead of text.")] = False,
) -> None:
    """Show the labels that a downloaded student finds likeliest, with their scores. Needs no service."""
    if among not in AMONG:
        raise BadInput(f"--among {among!r}: choose {', '.join(AMONG)}")
    from limbeck.classify import BundleError, PictureError, load_student

    try:
        student = load_student(checkpoint, among=among)
    except BundleError as error:
        raise BadInput(str(error)) from None
    failed = 0
    for path in images:
        try:
            found = student.classify(path, top=top)
        except PictureError as error:
            print(f"limbeck: {error}", file=sys.stderr)
            failed += 1
            continue
        if as_json:
            labels = [{"label": label, "score": score} for label, score in found]
            typer.echo(json.dumps({"image": str(path), "labels": labels}, ensure_ascii=False))
        else:
            typer.echo(f"{path}: " + ", ".join(f"{label} {score:.1%}" for label, score in found))
    if failed:
        raise BadInput(f"{failed} of {len(images)} pictures could not be read")
