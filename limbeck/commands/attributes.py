"""`limbeck attributes`: sets to look at, search, compare and correct, and as files."""

import sys
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands import editing
from limbeck.commands.check import check, report
from limbeck.commands.common import DEFAULT_URL, BadInput, Url, id_table, read_text, service
from limbeck.commands.editing import LabelName, SetId, find, line_text, show_label
from limbeck.commands.label_text import name_of

cli = typer.Typer(help="What is said of labels: look, search, correct, check; files in and out.", no_args_is_help=True)
cli.command("check")(check)
cli.command("report")(report)
for _command in (editing.edit, editing.lock, editing.unlock, editing.draft, editing.discard, editing.seal):
    cli.command(_command.__name__)(_command)

_FORMATS = ("json", "csv", "dclip", "cupl", "label2text")
_Shown = Annotated[int, typer.Option(min=1, help="How many to show.")]


@cli.command("list")
def list_(
    vocabulary: Annotated[str, typer.Option(help="Those of this vocabulary only.")] = "",
    limit: _Shown = 20,
    url: Url = DEFAULT_URL,
) -> None:
    """List attribute sets, newest first."""
    from rich.console import Console

    table = id_table("of", "described", "flagged", "made")
    with service(url) as client:
        for row in islice(client.attribute_sets(vocabulary_id=vocabulary or None), limit):
            source = row.parent_id or row.source.get("job_id") or row.source.get("import") or ""
            described = f"{row.num_described:,}/{row.num_labels:,}"
            made = f"{row.created_at:%Y-%m-%d %H:%M} UTC"
            table.add_row(row.id, str(source), described, f"{row.num_flagged:,}", made)
    Console().print(table)


@cli.command("show")
def show(
    id: SetId,
    label: LabelName,
    draft: Annotated[bool, typer.Option("--draft", help="As the set's draft has it.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show what a set says of a label, line by line."""
    from rich.console import Console

    with service(url) as client:
        show_label(Console(), find(client, id, label, draft=draft))


@cli.command("search")
def search(
    id: SetId,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="A part of the label or its sense.")] = "",
    gate: Annotated[str, typer.Option(help="Caught by this gate in the set's report.")] = "",
    flag: Annotated[str, typer.Option(help="With this flag, such as too_few_phrases.")] = "",
    origin: Annotated[str, typer.Option(help="With a line of this origin: llm, human or import.")] = "",
    locked: Annotated[bool, typer.Option("--locked", help="With a locked line.")] = False,
    undescribed: Annotated[bool, typer.Option("--undescribed", help="Of which nothing is said.")] = False,
    limit: _Shown = 20,
    url: Url = DEFAULT_URL,
) -> None:
    """Find labels of a set; what is asked for counts together."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "label", "lines", "", "flags", box=None)
    with service(url) as client:
        found = client.attributes(
            id, q=text, gate=gate, flag=flag, origin=origin, locked=locked, undescribed=undescribed
        )
        for one in islice(found, limit):
            first = line_text(one.lines[0]) if one.lines else ""
            cells = (str(one.position), name_of(one), str(len(one.lines)), first, ", ".join(one.flags))
            table.add_row(*map(Text, cells))
        more = next(found, None) is not None
    Console().print(table if table.row_count else "no label is like that")
    if more:
        Console().print(f"and more: --limit shows more than {limit}", highlight=False)


@cli.command("compare")
def compare(
    id: Annotated[str, typer.Argument(metavar="A", help="The set to start from.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The set that says something else.")],
    limit: _Shown = 20,
    url: Url = DEFAULT_URL,
) -> None:
    """Show what B says that A does not, and the other way round, label by label."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with service(url) as client:
        told = client.compare_attributes(other, id)
        count = 0
        for one in islice(told, limit):
            count += 1
            name = f"{one.label} ({one.sense})" if one.sense else one.label
            lone = " (only in A)" if one.position is None else " (only in B)" if one.with_position is None else ""
            console.print(name + lone + (f"  other {', '.join(one.other)}" if one.other else ""), style="bold")
            marks = (("-", one.removed), ("+", one.added), ("locked", one.locked), ("unlocked", one.unlocked))
            for mark, lines in marks:
                for line in lines:
                    console.print(f"  {mark} {line.kind}: {line_text(line)}")
        more = next(told, None) is not None
    if not count:
        console.print("they say the same")
    if more:
        console.print(f"and more: --limit shows more than {limit}")


@cli.command("uses")
def uses(id: SetId, url: Url = DEFAULT_URL) -> None:
    """List what was made from a set: sets edited from it, text targets, students."""
    from rich.console import Console

    table = id_table("what", "made")
    with service(url) as client:
        for child in client.attribute_sets(parent_id=id):
            table.add_row(child.id, "attribute set", f"{child.created_at:%Y-%m-%d %H:%M} UTC")
        for targets in client.every_text_targets(attribute_set_id=id):
            table.add_row(targets.id, f"text targets, {targets.text}", f"{targets.created_at:%Y-%m-%d %H:%M} UTC")
        for student in client.checkpoints(attribute_set_id=id):
            table.add_row(student.id, f"student, {student.student}", f"{student.created_at:%Y-%m-%d %H:%M} UTC")
    Console().print(table if table.row_count else "nothing was made from it yet")


@cli.command("answer")
def answer(
    key: Annotated[str, typer.Argument(metavar="CALL", help="The call of a line.")], url: Url = DEFAULT_URL
) -> None:
    """Show what an LLM was asked, and what it answered."""
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with service(url) as client:
        told = client.answer(key)
    console.print(f"{told.model} at {told.base_url or 'the default server'}, {told.strategy}", style="bold")
    for message in told.messages:
        console.print(f"{message.get('role', '')}:", style="bold")
        console.print(str(message.get("content", "")))
    console.print("answer:", style="bold")
    console.print(told.answer)


@cli.command("export")
def export(
    id: SetId,
    format: Annotated[str, typer.Option(help="json or csv (everything), dclip, cupl, or label2text.")] = "json",
    out: Annotated[
        Path | None, typer.Option(help="The file to write, stdout if left out; for label2text a folder.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Take a set out."""
    _known(format)
    if format == "label2text" and out is None:
        raise BadInput("label2text is two files: say with --out in which folder")
    with service(url) as client:
        if format == "label2text" and out is not None:
            _write(out / "label2text.txt", client.export_attributes(id, format="label2text"))
            _write(out / "sentences.txt", client.export_attributes(id, format="sentences"))
            return
        content = client.export_attributes(id, format=format)  # type: ignore[arg-type]
    if out is None:
        sys.stdout.buffer.write(content)
    else:
        _write(out, content)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


@cli.command("import")
def import_(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Our own JSON, CSV, DCLIP's or CuPL's.")] = None,
    format: Annotated[str, typer.Option(help="What FILE is: json, csv, dclip or cupl.")] = "json",
    label2text: Annotated[Path | None, typer.Option(help="In place of FILE: `folder number label` a line.")] = None,
    sentences: Annotated[Path | None, typer.Option(help="With --label2text: a sentence a line, same order.")] = None,
    vocabulary: Annotated[str, typer.Option(help="Whose labels they describe; a new vocabulary if left out.")] = "",
    name: Annotated[str, typer.Option(help="Name of the new vocabulary.")] = "imported",
    domain: Annotated[str, typer.Option(help="Domain of the new vocabulary.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Bring descriptions in: a file, or labels and sentences as Li et al. publish them."""
    _known(format)
    where = {"vocabulary_id": vocabulary or None, "name": name, "domain": domain}
    if file is not None and format != "label2text" and label2text is None and sentences is None:
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
    if format not in _FORMATS:
        raise BadInput(f"--format {format!r}: choose {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}")
