"""`limbeck db` and `limbeck key`: database migrations and API keys, for operators."""

import re
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from limbeck.commands.common import BadInput, CommandFailed, database, id_table

db = typer.Typer(help="Database migrations.", no_args_is_help=True)
key = typer.Typer(help="API keys.", no_args_is_help=True)

_UNITS_S = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}


@db.command("upgrade")
def upgrade() -> None:
    """Upgrade the database to the newest revision."""
    from store import migrate

    with database(upgraded=False) as opened:
        migrate.upgrade(opened)
        typer.echo(f"at the newest revision: {opened.url.render_as_string(hide_password=True)}")


@db.command("check")
def check() -> None:
    """Check that the database is at the newest revision. Exit code 1 if it is not."""
    from store import migrate

    with database(upgraded=False) as opened:
        if fault := migrate.revision_of(opened).fault:
            raise CommandFailed(fault)
        typer.echo("at the newest revision")


@key.command("create")
def create(
    name: Annotated[str, typer.Option(help="The owner or the purpose of the key.")],
    scopes: Annotated[str, typer.Option(help="Comma-separated: read, write.")] = "read,write",
    expires: Annotated[str, typer.Option(help="Lifetime: 12h, 90d, 52w, or never.")] = "90d",
) -> None:
    """Create a key. Its secret is printed once, to stdout, and is not stored."""
    from store import api_keys
    from store.errors import InvalidRequest

    if not name.strip():
        raise BadInput("--name is blank")
    scope_list = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    expires_at = _expires_at(expires)
    with database() as opened, opened.write() as tx:
        try:
            made, secret = api_keys.create(tx, name=name.strip(), scopes=scope_list, expires_at=expires_at)
        except InvalidRequest as error:
            raise BadInput(str(error)) from None
        summary = f"key {made.id} ({made.name}): {', '.join(made.scopes)}; {_expiry_text(made.expires_at)}"
    typer.echo(summary, err=True)
    typer.echo(secret)


@key.command("list")
def list_keys() -> None:
    """List all keys, without their secrets."""
    from rich.console import Console
    from rich.markup import escape

    from store import api_keys

    table = id_table("name", "scopes", "created", "state")
    with database() as opened, opened.read() as tx:
        for row in api_keys.list_keys(tx):
            state = f"revoked {_date(row.revoked_at)}" if row.revoked_at else _expiry_text(row.expires_at)
            table.add_row(row.id, escape(row.name), ",".join(row.scopes), _date(row.created_at), state)
    Console().print(table)


@key.command("revoke")
def revoke(id: Annotated[str, typer.Argument(help="The key's id, as in `limbeck key list`.")]) -> None:
    """Revoke a key."""
    from store import api_keys
    from store.errors import NotFound

    with database() as opened, opened.write() as tx:
        try:
            api_keys.revoke(tx, id)
        except NotFound as error:
            raise BadInput(str(error)) from None
    typer.echo(f"{id} is revoked")


def _expires_at(lifetime: str) -> float | None:
    if lifetime == "never":
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})([hdw])", lifetime)
    if match is None:
        raise BadInput(f"--expires {lifetime!r}: write 12h, 90d, 52w or never")
    return time.time() + int(match[1]) * _UNITS_S[match[2]]


def _expiry_text(expires_at: float | None) -> str:
    if expires_at is None:
        return "never expires"
    return f"expired {_date(expires_at)}" if expires_at <= time.time() else f"expires {_date(expires_at)}"


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
