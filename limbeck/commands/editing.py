"""`limbeck attributes edit`, `lock`, `unlock`, `draft`, `discard` and `seal`: what people correct in a set."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from limbeck.commands import label_text
from limbeck.commands.common import DEFAULT_URL, BadInput, Failed, Url, read_text, service
from limbeck.commands.label_text import name_of

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.client import Attributes, DraftChanged, Limbeck

SetId = Annotated[str, typer.Argument(metavar="SET", help="The attribute set's id.")]
LabelName = Annotated[str, typer.Argument(metavar="LABEL", help='The label; with its sense as "crane (bird)".')]
LineIds = Annotated[list[str] | None, typer.Argument(metavar="[LINE]...", help="Ids of lines; all if left out.")]
_Lines = Annotated[list[str] | None, typer.Option(metavar="LINE", help="A line's id, or its beginning; repeatable.")]


def edit(
    id: SetId,
    label: LabelName,
    add: Annotated[
        list[str] | None, typer.Option(metavar="KIND: TEXT", help="A new line, as phrase,part=bill: a long bill.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="LINE=TEXT", help="Other words; LINE.part=… for a field.")
    ] = None,
    delete: _Lines = None,
    lock: _Lines = None,
    unlock: _Lines = None,
    file: Annotated[Path | None, typer.Option(help="Lines as the editor would show them, in place of it.")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Correct one label in the set's draft: by options, or in $EDITOR."""
    with service(url) as client:
        version = client.drafts.get(id).version
        found = find(client, id, label, draft=True)
        if add or set_ or delete or lock or unlock:
            if file is not None:
                raise BadInput("--file stands in place of the other options")
            operations = [{"op": "add", **label_text.addition(one)} for one in add or ()]
            for one in set_ or ():
                line, field, text = label_text.change(one)
                operations.append({"op": "edit", "line": _line(found, line), field: text})
            for op, lines in (("delete", delete), ("lock", lock), ("unlock", unlock)):
                operations += [{"op": op, "line": _line(found, line)} for line in lines or ()]
            # One line may be named twice: locked by its old id before it is reworded.
            operations.sort(key=lambda operation: operation["op"] == "edit")
            told = _change(client, id, found, operations, version)
        elif file is not None:
            told = _change(client, id, found, [{"op": "replace", "lines": _read(file)}], version)
        else:
            told = _in_editor(client, id, found, version)
    _tell(id, told)


def lock(id: SetId, label: LabelName, lines: LineIds = None, url: Url = DEFAULT_URL) -> None:
    """Have every later enrichment keep a label's lines."""
    _lock(id, label, lines, url, "lock")


def unlock(id: SetId, label: LabelName, lines: LineIds = None, url: Url = DEFAULT_URL) -> None:
    """Leave a label's lines to later enrichments again."""
    _lock(id, label, lines, url, "unlock")


def _lock(id: str, label: str, lines: list[str] | None, url: str, op: str) -> None:
    with service(url) as client:
        version = client.drafts.get(id).version
        found = find(client, id, label, draft=True)
        which = [{"op": op, "line": _line(found, line)} for line in lines or ()] or [{"op": op}]
        _tell(id, _change(client, id, found, which, version))


def draft(id: SetId, url: Url = DEFAULT_URL) -> None:
    """Show what the set's draft changes."""
    from rich.console import Console

    console = Console()
    with service(url) as client:
        shown = client.drafts.get(id)
        console.print(f"draft of {id}: version {shown.version}, {_labels(shown.num_edited)} edited", highlight=False)
        for one in client.drafts.labels(id):
            show_label(console, one)


def discard(id: SetId, url: Url = DEFAULT_URL) -> None:
    """Forget the edits that are not sealed."""
    with service(url) as client:
        before = client.drafts.get(id)
        client.drafts.drop(id, version=before.version)
    typer.echo(f"draft of {id}: the edits of {_labels(before.num_edited)} are forgotten")


def seal(id: SetId, url: Url = DEFAULT_URL) -> None:
    """Make the draft a new set; the set itself stays as it is."""
    with service(url) as client:
        before = client.drafts.get(id)
        made = client.drafts.seal(id, version=before.version)
    told = f"{made.num_described} of {made.num_labels} labels, {made.num_flagged} flagged"
    typer.echo(f"{made.id} (edited from {id}, {_labels(before.num_edited)} changed): {told}")


def find(client: "Limbeck", set_id: str, label: str, *, draft: bool = False) -> "Attributes":
    """The label of this name, `name (sense)` where it has a sense. Raises BadInput."""
    readings: list[tuple[str, str | None]] = [(label, None)]
    at = label.find(" (")
    while at > 0 and label.endswith(")"):
        readings.append((label[:at], label[at + 2 : -1]))
        at = label.find(" (", at + 1)
    for name, sense in readings:
        found = list(client.attributes(set_id, label=name, draft=draft))
        if sense is not None:
            found = [one for one in found if (one.sense or "").casefold() == sense.casefold()]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(f'"{name_of(one)}"' for one in found)
            raise BadInput(f"{set_id} has several labels {label!r}: write {names}")
    raise BadInput(f"{set_id} has no label {label!r}: look with limbeck attributes search")


def show_label(console: "Console", label: "Attributes") -> None:
    """A label with its lines: id, kind, origin and lock, words."""
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
    console.print(table if label.lines else Text("  nothing is said of it", style="dim"))


def line_text(line: Any) -> str:
    """What a line says, with what it is about."""
    about = ", ".join(f"{name}: {text}" for name in label_text.FIELDS[1:] if (text := getattr(line, name)))
    return f"{line.text}  [{about}]" if about else str(line.text)


def _line(label: "Attributes", given: str) -> str:
    found = {line.id for line in label.lines if line.id.startswith(given)}
    if len(found) == 1:
        return found.pop()
    which = "several lines" if found else "no line"
    raise BadInput(f'"{name_of(label)}" has {which} {given!r}: limbeck attributes show tells their ids')


def _change(
    client: "Limbeck", id: str, label: "Attributes", operations: Sequence[dict[str, Any]], version: int
) -> "DraftChanged":
    from limbeck.client import Problem

    try:
        return client.drafts.change(id, [{**one, "position": label.position} for one in operations], version=version)
    except Problem as problem:
        if problem.status in (412, 422):
            raise BadInput(str(problem)) from None
        raise


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        return label_text.read(read_text(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def _in_editor(client: "Limbeck", id: str, label: "Attributes", version: int) -> "DraftChanged":
    """Let the person edit a file; it is kept wherever what is in it was not taken."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if not editor:
        raise BadInput("set EDITOR, or say what to change: --add, --set, --delete, --lock, --unlock, --file")
    before = label_text.written(label)
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
        raise Failed(f"{editor} ended with {code}; your text is kept in {path}: give it with --file")
    try:
        told = _change(client, id, label, [{"op": "replace", "lines": label_text.read(after)}], version)
    except Exception as error:
        raise BadInput(f"{error}; your text is kept in {path}: give it with --file") from None
    path.unlink()
    return told


def _tell(id: str, told: "DraftChanged") -> None:
    from rich.console import Console

    console = Console()
    for label in told.changed:
        show_label(console, label)
    console.print(
        f"draft of {id}: version {told.version}, {_labels(told.num_edited)} edited; limbeck attributes seal makes it a "
        "set",
        highlight=False,
    )


def _labels(count: int) -> str:
    return f"{count} label{'' if count == 1 else 's'}"
