"""`limbeck attributes`: bring published descriptions in, and take a set out as a file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.check import check
from limbeck.commands.common import DEFAULT_URL, BadInput, Url, read_text, service

cli = typer.Typer(help="Attribute sets as files.", no_args_is_help=True)
cli.command("check")(check)


@cli.command("export")
def export(
    id: Annotated[str, typer.Argument(metavar="SET", help="The attribute set's id.")],
    format: Annotated[str, typer.Option(help="json (everything) or dclip (label -> phrases).")] = "json",
    out: Annotated[Path | None, typer.Option(help="The file to write; stdout if left out.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Take a set out."""
    _known(format)
    with service(url) as client:
        content = client.export_attributes(id, format=format)  # type: ignore[arg-type]
    if out is None:
        sys.stdout.buffer.write(content)
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise BadInput(f"{out}: {error.strerror}") from None


@cli.command("import")
def import_(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Our own JSON, or DCLIP's.")] = None,
    format: Annotated[str, typer.Option(help="What FILE is: json or dclip.")] = "json",
    label2text: Annotated[Path | None, typer.Option(help="In place of FILE: `folder number label` a line.")] = None,
    sentences: Annotated[Path | None, typer.Option(help="With --label2text: a sentence a line, same order.")] = None,
    vocabulary: Annotated[str, typer.Option(help="Whose labels they describe; a new vocabulary if left out.")] = "",
    name: Annotated[str, typer.Option(help="Name of the new vocabulary.")] = "imported",
    domain: Annotated[str, typer.Option(help="Domain of the new vocabulary.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Bring descriptions in: a JSON file, or sentences as Li et al. publish them."""
    where = {"vocabulary_id": vocabulary or None, "name": name, "domain": domain}
    if file is not None and label2text is None and sentences is None:
        _known(format)
        document = read_text(file)
        with service(url) as client:
            made = client.import_attributes(document, format=format, **where)  # type: ignore[arg-type]
    elif file is None and label2text is not None and sentences is not None:
        labels, lines = read_text(label2text), read_text(sentences)
        with service(url) as client:
            made = client.import_sentences(labels, lines, **where)  # type: ignore[arg-type]
    else:
        raise BadInput("give FILE, or both --label2text and --sentences")
    told = f"{made.num_described} of {made.num_labels} labels, {made.num_flagged} flagged"
    typer.echo(f"{made.id} (of {made.vocabulary_id}): {told}")


def _known(format: str) -> None:
    if format not in ("json", "dclip"):
        raise BadInput(f"--format {format!r}: choose json or dclip")
