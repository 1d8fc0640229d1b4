"""`limbeck attributes edit`, `lock`, `unlock`, `draft`, `discard` and `seal`: manual edits of a set."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands import label_text
from limbeck.commands.common import DEFAULT_URL, BadInput, CommandFailed, Url, read_text, service
from limbeck.commands.label_text import name_of
from limbeck.commands.tables import AsJson, print_json
from limbeck.shared.labels import fold, readings

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck import Client
    from limbeck.models import Attributes, DraftChanged, Line

SetId = Annotated[str, typer.Argument(metavar="SET", help="The attribute set's id.")]
LabelName = Annotated[str, typer.Argument(metavar="LABEL", help='The label\'s name, with its sense: "crane (bird)".')]
LineIds = Annotated[list[str] | None, typer.Argument(metavar="[LINE]...", help="Ids of lines; all lines by default.")]
_Lines = Annotated[
    list[str] | None, typer.Option(metavar="LINE", help="A line's id or its first characters; repeatable.")
]


def edit(
    id: SetId,
    label: LabelName,
    add: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND: TEXT", help="Add a line, for example phrase,part=bill: a long bill."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="LINE=TEXT", help="Change the text of a line; LINE.part=… for a field."),
    ] = None,
    delete: _Lines = None,
    lock: _Lines = None,
    unlock: _Lines = None,
    file: Annotated[
        Path | None, typer.Option(help="A file in the format of the editor, instead of the editor.")
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Edit one label in the set's draft: with options, or in $EDITOR.

    limbeck attributes edit ats_… crane
    limbeck attributes edit ats_… crane --add "phrase,part=neck: a long neck"
    """
    with service(url) as client:
        version = client.drafts.get(id).version
        found = find(client, id, label, draft=True)
        operations = _operations(found, add or (), set_ or (), {"delete": delete, "lock": lock, "unlock": unlock})
        if operations:
            if file is not None:
                raise BadInput("--file cannot be combined with the other options")
            draft = _change(client, id, found, operations, version)
        elif file is not None:
            draft = _change(client, id, found, [{"op": "replace", "lines": _read_lines(file)}], version)
        else:
            draft = _edit_in_editor(client, id, found, version)
    _print_draft(id, draft)


def _operations(
    found: "Attributes",
    additions: Sequence[str],
    changes: Sequence[str],
    lines_by_operation: Mapping[str, Sequence[str] | None],
) -> list[dict[str, str]]:
    """The operations of the options. Edits come last: they change the id of a line that another operation names."""
    operations = [{"op": "add", **label_text.parse_addition(option)} for option in additions]
    for op, lines in lines_by_operation.items():
        operations += [{"op": op, "line": _line_id(found, line)} for line in lines or ()]
    for option in changes:
        line, field, text = label_text.parse_change(option)
        operations.append({"op": "edit", "line": _line_id(found, line), field: text})
    return operations


def lock(id: SetId, label: LabelName, lines: LineIds = None, url: Url = DEFAULT_URL) -> None:
    """Lock lines of a label: every later enrichment keeps them.

    limbeck attributes lock ats_… crane
    """
    _lock(id, label, lines, url, "lock")


def unlock(id: SetId, label: LabelName, lines: LineIds = None, url: Url = DEFAULT_URL) -> None:
    """Unlock lines of a label.

    limbeck attributes unlock ats_… crane
    """
    _lock(id, label, lines, url, "unlock")


def _lock(id: str, label: str, lines: list[str] | None, url: str, op: str) -> None:
    with service(url) as client:
        version = client.drafts.get(id).version
        found = find(client, id, label, draft=True)
        operations = [{"op": op, "line": _line_id(found, line)} for line in lines or ()] or [{"op": op}]
        _print_draft(id, _change(client, id, found, operations, version))


def draft(id: SetId, as_json: AsJson = False, url: Url = DEFAULT_URL) -> None:
    """Show the labels that the set's draft changes.

    limbeck attributes draft ats_…
    """
    from rich.console import Console

    console = Console()
    with service(url) as client:
        shown = client.drafts.get(id)
        if as_json:
            labels = [label.model_dump(mode="json") for label in client.drafts.labels(id)]
            return print_json({**shown.model_dump(mode="json"), "labels": labels})
        console.print(f"draft of {id}: version {shown.version}, {_labels(shown.num_edited)} edited", highlight=False)
        for label in client.drafts.labels(id):
            show_label(console, label)


def discard(id: SetId, url: Url = DEFAULT_URL) -> None:
    """Discard all edits of the draft.

    limbeck attributes discard ats_…
    """
    with service(url) as client:
        before = client.drafts.get(id)
        client.drafts.discard(id, version=before.version)
    typer.echo(f"draft of {id}: discarded the edits of {_labels(before.num_edited)}")


def seal(id: SetId, url: Url = DEFAULT_URL) -> None:
    """Create a new set from the draft; the original set is not changed.

    limbeck attributes seal ats_…
    """
    with service(url) as client:
        before = client.drafts.get(id)
        sealed = client.drafts.seal(id, version=before.version)
    counts = f"{sealed.num_described} of {sealed.num_labels} labels, {sealed.num_flagged} flagged"
    typer.echo(f"{sealed.id} (edited from {id}, {_labels(before.num_edited)} changed): {counts}")
    typer.echo(f"next: limbeck distill --attributes {sealed.id} --dataset DATASET --teacher TEACHER")


def find(client: "Client", set_id: str, label: str, *, draft: bool = False) -> "Attributes":
    """The label with this name, or with this `name (sense)`. Raises BadInput."""
    for name, sense in readings(label):
        found = list(client.attribute_sets.labels(set_id, label=name, draft=draft))
        if sense is not None:
            found = [match for match in found if fold(match.sense or "") == fold(sense)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f'"{name_of(match)}"' for match in found)
            raise BadInput(f"{set_id} has several labels {label!r}; write {names}")
    raise BadInput(f"{set_id} has no label {label!r}; find labels with limbeck attributes search")


def show_label(console: "Console", label: "Attributes") -> None:
    """Print a label with its lines: id, kind, origin and lock, text."""
    from rich.table import Table
    from rich.text import Text

    flags = f"  flags: {', '.join(label.flags)}" if label.flags else ""
    console.print(Text(f"{name_of(label)}  (label {label.position}){flags}", style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for _ in range(4):
        table.add_column()
    for line in label.lines:
        origin = f"{line.origin}{' locked' if line.locked else ''}"
        table.add_row(*(Text(cell) for cell in (f"  {line.id}", line.kind, origin, line_text(line))))
    console.print(table if label.lines else Text("  no lines", style="dim"))


def line_text(line: "Line") -> str:
    """The text of a line, with its other fields in brackets."""
    about = ", ".join(f"{name}: {text}" for name in label_text.FIELDS[1:] if (text := getattr(line, name)))
    return f"{line.text}  [{about}]" if about else line.text


def _line_id(label: "Attributes", prefix: str) -> str:
    found = {line.id for line in label.lines if line.id.startswith(prefix)}
    if len(found) == 1:
        return found.pop()
    lines = "several lines" if found else "no line"
    raise BadInput(f'"{name_of(label)}" has {lines} {prefix!r}; limbeck attributes show lists the ids')


def _change(
    client: "Client", id: str, label: "Attributes", operations: Sequence[Mapping[str, object]], version: int
) -> "DraftChanged":
    from limbeck import Problem

    try:
        return client.drafts.change(
            id, [{**operation, "position": label.position} for operation in operations], version=version
        )
    except Problem as problem:
        if problem.status in (412, 422):
            raise BadInput(str(problem)) from None
        raise


def _read_lines(path: Path) -> list[dict[str, str | bool]]:
    try:
        return label_text.parse_lines(read_text(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def _edit_in_editor(client: "Client", id: str, label: "Attributes", version: int) -> "DraftChanged":
    """Edit a label in $EDITOR. The edited file is kept if its content is rejected."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise BadInput("set EDITOR, or give --add, --set, --delete, --lock, --unlock or --file")
    before = label_text.format_label(label)
    descriptor, name = tempfile.mkstemp(prefix="limbeck-", suffix=".txt")
    path = Path(name)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(before)
    try:
        code = subprocess.run([*shlex.split(editor), name], check=False).returncode
    except (OSError, ValueError) as error:
        path.unlink()
        raise BadInput(f"EDITOR {editor!r} cannot be run: {error}") from None
    after = path.read_text(encoding="utf-8")
    if after == before:
        path.unlink()
        raise BadInput("nothing was changed")
    if code:
        raise CommandFailed(f"{editor} exited with code {code}; your text is kept in {path}: pass it with --file")
    try:
        changed = _change(client, id, label, [{"op": "replace", "lines": label_text.parse_lines(after)}], version)
    except Exception as error:
        raise BadInput(f"{error}; your text is kept in {path}: pass it with --file") from None
    path.unlink()
    return changed


def _print_draft(id: str, draft: "DraftChanged") -> None:
    from rich.console import Console

    console = Console()
    for label in draft.changed:
        show_label(console, label)
    console.print(
        f"draft of {id}: version {draft.version}, {_labels(draft.num_edited)} edited; limbeck attributes seal makes a "
        "set from it",
        highlight=False,
    )


def _labels(count: int) -> str:
    return f"{count} label{'' if count == 1 else 's'}"
