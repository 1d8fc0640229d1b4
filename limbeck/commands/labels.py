"""`limbeck labels`: what a label file holds, without a service: its labels, and how it was read."""

import json
from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import BadInput, read_bytes


def labels(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A label file: text, CSV, JSON, YAML …")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with senses, ids and aliases.")] = False,
) -> None:
    """Print the labels that would be taken from a file, and on stderr what was dropped. Sends nothing."""
    from limbeck.shared.label_files import LabelFileError, read_label_file

    try:
        found = read_label_file(read_bytes(file), file.name)
    except LabelFileError as error:
        raise BadInput(f"{file}: {error}") from None
    if as_json:
        objects = [{"name": label.name, "sense": label.sense, "ids": label.ids} for label in found.labels]
        typer.echo(json.dumps(objects, ensure_ascii=False, indent=1))
    else:
        for label in found.labels:
            typer.echo(f"{label.name}\t{label.sense}" if label.sense else label.name)
    typer.echo(found.report(), err=True)
