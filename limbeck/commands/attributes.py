"""`limbeck attributes`: list, show, search, compare, import and export attribute sets."""

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.commands import editing
from limbeck.commands.attribute_files import (
    faults_of_file,
    read_content,
    read_document,
    read_label_map,
    report_lines,
    unpack,
)
from limbeck.commands.check import check, report
from limbeck.commands.common import (
    DEFAULT_URL,
    BadInput,
    Label2TextFile,
    SentencesFile,
    Url,
    service,
)
from limbeck.commands.editing import LabelName, SetId, find, line_text, show_label
from limbeck.commands.label_text import name_of
from limbeck.commands.prove import prove
from limbeck.commands.quantities import local_time
from limbeck.commands.removal import Force, Yes, remove
from limbeck.commands.tables import LIMIT, AsJson, Limit, Owner, print_json, print_list, simple_table
from limbeck.shared.format_names import DOCUMENT_FORMATS
from limbeck.shared.labels import written

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.models import LabelDifference

cli = typer.Typer(help="Attributes of labels: show, search, edit, check, import and export.", no_args_is_help=True)
cli.command("check")(check)
cli.command("report")(report)
cli.command("prove")(prove)
for _command in (editing.edit, editing.lock, editing.unlock, editing.draft, editing.discard, editing.seal):
    cli.command(_command.__name__)(_command)

_FORMATS = (*DOCUMENT_FORMATS, "label2text")


@cli.command("list")
def list_(
    vocabulary: Annotated[str, typer.Option(help="Only sets of this vocabulary.")] = "",
    owner: Owner = "",
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List attribute sets, newest first.

    limbeck attributes list --vocabulary voc_…
    """
    with service(url) as client:
        print_list(
            client.attribute_sets.list(vocabulary_id=vocabulary or None, owner=owner or None),
            {
                "id": lambda row: row.id,
                ">described": lambda row: f"{row.num_described:,}/{row.num_labels:,}",
                ">flagged": lambda row: f"{row.num_flagged:,}",
                "created": lambda row: local_time(row.created_at),
                "source": lambda row: row.parent_id or row.source.get("job_id") or row.source.get("import") or "",
            },
            limit=limit,
            as_json=as_json,
            empty="no attribute set yet: limbeck enrich VOCABULARY, or limbeck attributes import FILE",
        )


@cli.command("show")
def show(
    id: SetId,
    label: LabelName,
    draft: Annotated[bool, typer.Option("--draft", help="Show the lines of the set's draft.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show the attributes of a label, line by line.

    limbeck attributes show ats_… "crane (bird)"
    """
    from rich.console import Console

    with service(url) as client:
        found = find(client, id, label, draft=draft)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        show_label(Console(), found)


@cli.command("search")
def search(
    id: SetId,
    text: Annotated[str, typer.Argument(metavar="[TEXT]", help="Part of the label's name or sense.")] = "",
    gate: Annotated[str, typer.Option(help="Violates this gate in the set's report.")] = "",
    flag: Annotated[str, typer.Option(help="Has this flag, for example too_few_phrases.")] = "",
    origin: Annotated[str, typer.Option(help="Has a line of this origin: llm, human or import.")] = "",
    locked: Annotated[bool, typer.Option("--locked", help="Has a locked line.")] = False,
    undescribed: Annotated[bool, typer.Option("--undescribed", help="Has no attributes.")] = False,
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Find labels of a set that match all given filters.

    limbeck attributes search ats_… --undescribed
    limbeck attributes search ats_… owl --gate shared
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "label", "lines", "", "flags", box=None)
    with service(url) as client:
        found = client.attribute_sets.labels(
            id, q=text, gate=gate, flag=flag, origin=origin, locked=locked, undescribed=undescribed
        )
        shown = list(islice(found, limit))
        if as_json:
            return print_json([label.model_dump(mode="json") for label in shown])
        for label in shown:
            first = line_text(label.lines[0]) if label.lines else ""
            cells = (str(label.position), name_of(label), str(len(label.lines)), first, ", ".join(label.flags))
            table.add_row(*map(Text, cells))
        has_more = next(found, None) is not None
    Console().print(table if table.row_count else "no matching label")
    if has_more:
        Console().print(f"more labels match; raise --limit above {limit} to show them", highlight=False)


@cli.command("compare")
def compare(
    id: Annotated[str, typer.Argument(metavar="A", help="The first set.")],
    other: Annotated[str, typer.Argument(metavar="B", help="The second set.")],
    limit: Limit = LIMIT,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show the differences between the sets A and B, label by label.

    limbeck attributes compare ats_… ats_…
    """
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with service(url) as client:
        differences = client.attribute_sets.compare(other, id)
        shown = list(islice(differences, limit))
        if as_json:
            return print_json([difference.model_dump(mode="json") for difference in shown])
        for difference in shown:
            _print_difference(console, difference)
        has_more = next(differences, None) is not None
    if not shown:
        console.print("the sets have equal attributes")
    if has_more:
        console.print(f"more labels differ; raise --limit above {limit} to show them")


def _print_difference(console: "Console", difference: "LabelDifference") -> None:
    name = written(difference.label, difference.sense)
    if difference.position is None:
        name += " (only in A)"
    elif difference.with_position is None:
        name += " (only in B)"
    console.print(name + (f"  other {', '.join(difference.other)}" if difference.other else ""), style="bold")
    groups = (
        ("-", difference.removed),
        ("+", difference.added),
        ("locked", difference.locked),
        ("unlocked", difference.unlocked),
    )
    for mark, lines in groups:
        for line in lines:
            console.print(f"  {mark} {line.kind}: {line_text(line)}")


@cli.command("uses")
def uses(id: SetId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """List what was made from a set: edited sets, text targets and checkpoints.

    limbeck attributes uses ats_…
    """
    with service(url) as client:
        uses = [(one.id, one.created_at, "attribute set") for one in client.attribute_sets.list(parent_id=id)]
        for texts in client.text_targets.list(attribute_set_id=id):
            uses.append((texts.id, texts.created_at, f"text targets, {texts.text}"))
        for student in client.checkpoints.list(attribute_set_id=id):
            uses.append((student.id, student.created_at, f"checkpoint, {student.student}"))
    if as_json:
        return print_json([{"id": id, "kind": kind, "created_at": at.isoformat()} for id, at, kind in uses])
    rows = [(id, local_time(at), kind) for id, at, kind in uses]
    typer.echo(simple_table(("id", "created", "kind"), rows) if rows else "nothing was made from this set yet")


@cli.command("answer")
def answer(
    key: Annotated[str, typer.Argument(metavar="CALL", help="The `call` of a line.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Show a request to an LLM and its response.

    limbeck attributes answer 4f2a…
    """
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with service(url) as client:
        stored = client.llm.answer(key)
    if as_json:
        return print_json(stored.model_dump(mode="json"))
    console.print(f"{stored.model} at {stored.base_url or 'the default server'}, {stored.strategy}", style="bold")
    for message in stored.messages:
        console.print(f"{message.get('role', '')}:", style="bold")
        console.print(str(message.get("content", "")))
    console.print("response:", style="bold")
    console.print(stored.answer)


@cli.command("export")
def export(
    id: SetId,
    format: Annotated[str, typer.Option(help=f"Format: {', '.join(DOCUMENT_FORMATS)} or label2text.")] = "json",
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write (default: stdout); a folder for label2text and huggingface."),
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Export a set to a file.

    limbeck attributes export ats_… --out birds.json
    limbeck attributes export ats_… --format csv > birds.csv
    """
    _check_format(format)
    if format == "label2text" and out is None:
        raise BadInput("label2text writes two files; give their folder with --out")
    with service(url) as client:
        if format == "label2text" and out is not None:
            _make_folder(out)
            _write(out / "label2text.txt", client.attribute_sets.export(id, format="label2text"))
            _write(out / "sentences.txt", client.attribute_sets.export(id, format="sentences"))
            return
        content = client.attribute_sets.export(id, format=format)  # type: ignore[arg-type]
    if out is None:
        sys.stdout.buffer.write(content)
    elif format == "huggingface" and out.suffix.lower() != ".zip":
        unpack(content, out)
    else:
        _write(out, content)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


@cli.command("import")
def import_(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="A file of attributes, or a folder of Hugging Face datasets."),
    ] = None,
    format: Annotated[str, typer.Option(help=f"Format of FILE: auto, {', '.join(DOCUMENT_FORMATS)}.")] = "auto",
    label2text: Label2TextFile = None,
    sentences: SentencesFile = None,
    vocabulary: Annotated[str, typer.Option(help="The vocabulary of the labels; a new one by default.")] = "",
    name: Annotated[str, typer.Option(help="Name of the new vocabulary.")] = "imported",
    domain: Annotated[str, typer.Option(help="Domain of the new vocabulary.")] = "",
    partial: Annotated[
        bool, typer.Option("--partial", help="Import what is valid and matched, and report what was left out.")
    ] = False,
    map: Annotated[
        Path | None,
        typer.Option(help="Label of FILE to label of the vocabulary: a JSON object, or CSV with two columns."),
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Import attributes: a file, or labels and sentences in the format of Li et al.

    limbeck attributes import birds.json --vocabulary voc_…
    limbeck attributes import descriptors_cub.json --domain birds
    """
    if format != "auto":
        _check_format(format)
    fields: dict[str, Any] = {"vocabulary_id": vocabulary or None, "name": name, "domain": domain, "partial": partial}
    fields["map"] = read_label_map(map) if map is not None else None
    if file is not None and format != "label2text" and label2text is None and sentences is None:
        document, encoding = read_content(file)
        with service(url) as client, faults_of_file(file):
            imported = client.attribute_sets.import_file(document, format=format, **fields)  # type: ignore[arg-type]
    elif file is None and label2text is not None and sentences is not None:
        (labels, encoding), (lines, _) = read_document(label2text), read_document(sentences)
        with service(url) as client, faults_of_file(sentences):
            imported = client.attribute_sets.import_sentences(labels, lines, **fields)
    else:
        raise BadInput("give FILE, or both --label2text and --sentences")
    if as_json:
        return print_json(imported.model_dump(mode="json"))
    for line in report_lines(imported.import_report, encoding):
        typer.echo(line)
    counts = f"{imported.num_described} of {imported.num_labels} labels, {imported.num_flagged} flagged"
    typer.echo(f"{imported.id} (vocabulary {imported.vocabulary_id}): {counts}")


def _check_format(format: str) -> None:
    if format not in _FORMATS:
        raise BadInput(f"--format {format!r}: choose {', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}")


@cli.command("rm")
def rm(
    ids: Annotated[list[str], typer.Argument(metavar="SET...", help="The ids of the sets: ats_…")],
    force: Force = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Delete attribute sets, with their drafts and reports.

    Refused while something refers to it, or while a job needs it. With --force, what refers to it is deleted too.

        limbeck attributes rm ats_…
    """
    with service(url) as client:
        remove(client.attribute_sets, ids, force=force, yes=yes, as_json=as_json)
