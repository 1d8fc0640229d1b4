"""Downloads to a single file, which is never overwritten."""

import os
import uuid
from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import BadInput, CommandFailed
from limbeck.commands.quantities import size_text

OutFile = Annotated[Path, typer.Option("--out", help="The file to write; an existing file of other content is kept.")]


def write_new_file(path: Path, content: bytes) -> None:
    """Write a file, and print its size. Raises BadInput if the file exists with other content."""
    try:
        if path.exists() and path.read_bytes() == content:
            typer.echo(f"{path} is complete ({size_text(len(content))})")
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
        try:
            draft.write_bytes(content)
            os.link(draft, path)  # unlike a rename, it never replaces a file
        finally:
            draft.unlink(missing_ok=True)
    except FileExistsError:
        raise BadInput(f"--out {path}: the file exists and has other content; choose another name") from None
    except OSError as error:
        raise CommandFailed(f"{error.filename or path}: {error.strerror}") from None
    typer.echo(f"{size_text(len(content))} in {path}")
