"""`rm` of every noun: delete resources; what refers to them only with --force and after a question."""

import sys
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from limbeck.commands.common import BadInput, CommandFailed
from limbeck.commands.tables import print_json

if TYPE_CHECKING:
    from limbeck.errors import Conflict
    from limbeck.models import Deletion

Force = Annotated[bool, typer.Option("--force", help="Also delete everything that refers to it, after a question.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="With --force: do not ask.")]
_SHOWN = 5


class Deletes(Protocol):
    """The resources of one kind, of a client."""

    def delete(self, id: str, /, *, force: bool = False) -> "Deletion": ...


def remove(resources: Deletes, ids: list[str], *, force: bool, yes: bool, as_json: bool) -> None:
    """Delete each resource. Raises CommandFailed for the first that is in use, BadInput for one that does not exist."""
    from limbeck.errors import Conflict, NotFound

    deletions = []
    for id in dict.fromkeys(ids):
        try:
            try:
                deletion = resources.delete(id)
            except Conflict as error:
                if error.code != "in_use" or not force:
                    raise CommandFailed(_refusal(error)) from None
                if not yes:
                    _ask(error)
                deletion = resources.delete(id, force=True)
        except NotFound as error:
            raise BadInput(error.detail) from None
        except Conflict as error:
            raise CommandFailed(_refusal(error)) from None
        deletions.append(deletion)
        if not as_json:
            typer.echo(f"{id} is deleted{_others(deletion)}")
    if as_json:
        print_json([one.model_dump(mode="json") for one in deletions])


def _refusal(error: "Conflict") -> str:
    users = [f"{user.kind} {user.id}".replace("_", " ", user.kind.count("_")) for user in error.errors if user.kind]
    shown = ", ".join(users[:_SHOWN]) + (", …" if len(users) > _SHOWN else "")
    remedy = error.detail.replace("with ?force=true", "with --force")
    return f"{remedy} ({shown})" if shown else remedy


def _ask(error: "Conflict") -> None:
    """Ask whether everything may be deleted. Raises CommandFailed if not, BadInput without a terminal."""
    if not sys.stdin.isatty():
        raise BadInput(f"{_refusal(error)}: confirm with --yes")
    if not typer.confirm(f"{_refusal(error)}\nDelete all of it?", err=True):
        raise CommandFailed("nothing was deleted")


def _others(deletion: "Deletion") -> str:
    """`, with 2 datasets, 1 checkpoint`."""
    counts = dict(deletion.counts)
    own = deletion.deleted[0].kind
    counts[own] -= 1
    parts = [f"{number:,} × {kind.replace('_', ' ')}" for kind, number in counts.items() if number]
    return f", with {', '.join(parts)}" if parts else ""
