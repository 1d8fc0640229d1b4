"""`limbeck classify`: classify images with a downloaded student. Needs timm and the bundle, but no service."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import BadInput
from limbeck.shared.images.kinds import IMAGE_SUFFIXES

AMONG = ("all", "seen", "unseen")


def classify(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help=f"Image files ({' '.join(IMAGE_SUFFIXES)}).")
    ],
    checkpoint: Annotated[Path, typer.Option(help="The folder of a downloaded bundle, with image/ and targets/.")],
    top: Annotated[int, typer.Option(min=1, help="Number of labels to show per image.")] = 3,
    among: Annotated[str, typer.Option(help="Candidate labels: all, seen (in training), or unseen.")] = "all",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Show the labels with the highest scores for each image. Needs no service."""
    if among not in AMONG:
        raise BadInput(f"--among {among!r}: choose {', '.join(AMONG)}")
    from limbeck.classify import BundleError, ImageError, load_student

    try:
        student = load_student(checkpoint, among=among)
    except BundleError as error:
        raise BadInput(str(error)) from None
    num_failed = 0
    for path in images:
        try:
            found = student.classify(path, top=top)
        except ImageError as error:
            print(f"limbeck: {error}", file=sys.stderr)
            num_failed += 1
            continue
        if as_json:
            labels = [{"label": label, "score": score} for label, score in found]
            typer.echo(json.dumps({"image": str(path), "labels": labels}, ensure_ascii=False))
        else:
            typer.echo(f"{path}: " + ", ".join(f"{label} {score:.1%}" for label, score in found))
    if num_failed:
        raise BadInput(f"{num_failed} of {len(images)} images could not be read")
