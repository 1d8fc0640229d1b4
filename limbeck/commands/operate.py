"""`limbeck db` and `limbeck key`: database migrations and API keys, for operators."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import BadInput, CommandFailed, database
from limbeck.commands.quantities import duration_s, local_time
from limbeck.commands.tables import LIMIT, AsJson, Limit, print_json, simple_table

if TYPE_CHECKING:
    from store.models import ApiKey

db = typer.Typer(help="Database migrations.", no_args_is_help=True)
key = typer.Typer(help="API keys.", no_args_is_help=True)


@db.command("upgrade")
def upgrade(as_json: AsJson = False) -> None:
    """Upgrade the database to the newest revision. Back it up before; there is no way back to an earlier release.

    limbeck db upgrade
    """
    from store import migrate

    with database(upgraded=False) as opened:
        migrate.upgrade(opened)
        shown, revision = opened.url.render_as_string(hide_password=True), migrate.revision_of(opened).current
    if as_json:
        return print_json({"database": shown, "revision": revision})
    typer.echo(f"at the newest revision: {shown}")


@db.command("check")
def check(as_json: AsJson = False) -> None:
    """Check that the database is at the newest revision. Exit code 1 if it is not.

    limbeck db check
    """
    from store import migrate

    with database(upgraded=False) as opened:
        found = migrate.revision_of(opened)
    if as_json:
        print_json({"revision": found.current, "newest": found.newest, "is_current": not found.fault})
    if found.fault:
        raise CommandFailed(found.fault)
    if not as_json:
        typer.echo("at the newest revision")


@key.command("create")
def create(
    name: Annotated[str, typer.Option(help="The owner or the purpose of the key.")],
    scopes: Annotated[str, typer.Option(help="Comma-separated: read, write.")] = "read,write",
    expires: Annotated[str, typer.Option(help="Lifetime: 12h, 90d, 52w, or never.")] = "90d",
    as_json: AsJson = False,
) -> None:
    """Create a key. Its secret is printed once, to stdout, and is not stored.

    limbeck key create --name ci
    export LIMBECK_KEY=$(limbeck key create --name me --expires 52w)
    """
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
        # A key in another database than the service's would be unknown to it.
        place = opened.url.render_as_string(hide_password=True)
        summary = f"key {made.id} ({made.name}) in {place}: {', '.join(made.scopes)}; {_expiry_text(made.expires_at)}"
        fields = _as_json(made)
    if as_json:
        return print_json({**fields, "secret": secret})
    typer.echo(summary, err=True)
    typer.echo(secret)


@key.command("list")
def list_keys(limit: Limit = LIMIT, as_json: AsJson = False) -> None:
    """List keys, newest first, without their secrets.

    limbeck key list
    """
    from store import api_keys

    with database() as opened, opened.read() as tx:
        rows = api_keys.list_keys(tx)[::-1]
    if as_json:
        print_json([_as_json(row) for row in rows[:limit]])
    elif not rows:
        typer.echo("no key yet: limbeck key create --name NAME")
    else:
        cells = [(row.id, ",".join(row.scopes), local_time(row.created_at), _state(row), row.name) for row in rows]
        typer.echo(simple_table(("id", "scopes", "created", "state", "name"), cells[:limit]))
        if len(rows) > limit:
            typer.echo(f"there are {len(rows):,}; raise --limit above {limit} to show more", err=True)


def _state(row: "ApiKey") -> str:
    return f"revoked {local_time(row.revoked_at)}" if row.revoked_at else _expiry_text(row.expires_at)


def _as_json(row: "ApiKey") -> dict[str, object]:
    times = {name: getattr(row, name) for name in ("created_at", "expires_at", "revoked_at")}
    utc = {name: datetime.fromtimestamp(at, UTC).isoformat() if at else None for name, at in times.items()}
    return {"id": row.id, "name": row.name, "scopes": list(row.scopes), **utc}


@key.command("revoke")
def revoke(id: Annotated[str, typer.Argument(help="The key's id, as in `limbeck key list`.")]) -> None:
    """Revoke a key.

    limbeck key revoke key_…
    """
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
    return time.time() + duration_s(lifetime, "--expires")


def _expiry_text(expires_at: float | None) -> str:
    if expires_at is None:
        return "never expires"
    return f"{'expired' if expires_at <= time.time() else 'expires'} {local_time(expires_at)}"
