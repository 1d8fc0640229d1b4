"""`limbeck db` and `limbeck key`: database migrations and API keys, for operators."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import BadInput, CommandFailed, database
from limbeck.commands.quantities import duration_s, local_time
from limbeck.commands.tables import LIMIT, AsJson, Limit, print_json, simple_table
from limbeck.shared.money import decimal_text, parsed_usd, pusd_from_usd, usd_from_pusd, usd_text
from limbeck.shared.text import counted

if TYPE_CHECKING:
    from store.models import ApiKey

db = typer.Typer(help="Database migrations.", no_args_is_help=True)
key = typer.Typer(help="API keys.", no_args_is_help=True)


_NO_LIMIT = "none"
_MAX_COUNT = 100_000
RequestsPerMin = Annotated[str, typer.Option(metavar="NUMBER", help="Limit of requests per minute.")]
MaxJobs = Annotated[str, typer.Option(metavar="NUMBER", help="Limit of the owner's jobs that have not ended.")]
BudgetUsd = Annotated[str, typer.Option(metavar="USD", help="LLM budget of the owner per 30 days: 50.")]


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
    scopes: Annotated[
        str, typer.Option("--scopes", "--scope", help="Comma-separated: read, write, admin (includes both).")
    ] = "read,write",
    expires: Annotated[str, typer.Option(help="Lifetime: 12h, 90d, 52w, or never.")] = "90d",
    requests_per_min: RequestsPerMin = "",
    max_jobs: MaxJobs = "",
    budget_usd: BudgetUsd = "",
    as_json: AsJson = False,
) -> None:
    """Create a key. Its secret is printed once, to stdout, and is not stored.

    limbeck key create --name ci
    limbeck key create --name ops --scope admin
    export LIMBECK_KEY=$(limbeck key create --name ann --expires 52w --max-jobs 4 --budget-usd 50)
    """
    from store.access import api_keys, audit
    from store.access.principals import KeyLimits
    from store.errors import InvalidRequest

    if not name.strip():
        raise BadInput("--name is blank")
    scope_list = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    expires_at = _expires_at(expires)
    limits = KeyLimits(**_limits(requests_per_min, max_jobs, budget_usd))
    with database() as opened, opened.write() as tx:
        try:
            made, secret = api_keys.create(
                tx, name=name.strip(), scopes=scope_list, expires_at=expires_at, limits=limits
            )
        except InvalidRequest as error:
            raise BadInput(str(error)) from None
        audit.record_command(tx, "limbeck key create", resource_id=made.id)
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
    from store.access import api_keys

    with database() as opened, opened.read() as tx:
        rows = api_keys.list_keys(tx)[::-1]
    if as_json:
        print_json([_as_json(row) for row in rows[:limit]])
    elif not rows:
        typer.echo("no key yet: limbeck key create --name NAME")
    else:
        cells = [
            (
                row.id,
                row.name,
                _scopes_text(row),
                local_time(row.last_used_at) or "never",
                _state(row),
                _limits_text(row),
            )
            for row in rows
        ]
        typer.echo(simple_table(("id", "owner", "scopes", "last used", "state", "limits"), cells[:limit]))
        if len(rows) > limit:
            typer.echo(f"there are {len(rows):,}; raise --limit above {limit} to show more", err=True)


def _state(row: "ApiKey") -> str:
    return f"revoked {local_time(row.revoked_at)}" if row.revoked_at else _expiry_text(row.expires_at)


def _scopes_text(row: "ApiKey") -> str:
    return "admin" if "admin" in row.scopes else ",".join(row.scopes)


def _limits_text(row: "ApiKey") -> str:
    limits = (
        f"{counted(row.requests_per_min, 'request')}/min" if row.requests_per_min is not None else "",
        counted(row.max_jobs, "job") if row.max_jobs is not None else "",
        f"{usd_text(usd_from_pusd(row.budget_pusd))} per 30 days" if row.budget_pusd is not None else "",
    )
    return ", ".join(filter(None, limits))


def _as_json(row: "ApiKey") -> dict[str, object]:
    times = {name: getattr(row, name) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")}
    utc = {name: datetime.fromtimestamp(at, UTC).isoformat() if at else None for name, at in times.items()}
    limits = {
        "requests_per_min": row.requests_per_min,
        "max_jobs": row.max_jobs,
        "budget_usd": None if row.budget_pusd is None else decimal_text(usd_from_pusd(row.budget_pusd)),
    }
    return {"id": row.id, "name": row.name, "scopes": list(row.scopes), **limits, **utc}


@key.command("limit")
def limit_key(
    id: Annotated[str, typer.Argument(help="The key's id, as in `limbeck key list`.")],
    requests_per_min: RequestsPerMin = "",
    max_jobs: MaxJobs = "",
    budget_usd: BudgetUsd = "",
) -> None:
    """Change limits of a key; `none` removes one. They apply to the next request.

    limbeck key limit key_… --max-jobs 4 --budget-usd none
    """
    from store.access import api_keys, audit
    from store.errors import NotFound

    changes = _limits(requests_per_min, max_jobs, budget_usd)
    if not changes:
        raise BadInput("name a limit: --requests-per-min, --max-jobs or --budget-usd")
    with database() as opened, opened.write() as tx:
        try:
            limits = _limits_text(api_keys.set_limits(tx, id, changes))
        except NotFound as error:
            raise BadInput(str(error)) from None
        audit.record_command(tx, "limbeck key limit", resource_id=id)
    typer.echo(f"limits of {id}: {limits or 'none'}")


@key.command("revoke")
def revoke(id: Annotated[str, typer.Argument(help="The key's id, as in `limbeck key list`.")]) -> None:
    """Revoke a key.

    limbeck key revoke key_…
    """
    from store.access import api_keys, audit
    from store.errors import NotFound

    with database() as opened, opened.write() as tx:
        try:
            api_keys.revoke(tx, id)
            audit.record_command(tx, "limbeck key revoke", resource_id=id)
        except NotFound as error:
            raise BadInput(str(error)) from None
    typer.echo(f"{id} is revoked")


def _limits(requests_per_min: str, max_jobs: str, budget_usd: str) -> dict[str, int | None]:
    """Name of a limit → its value, None for `none`; without the options that are not given. Raises BadInput."""
    given = {"requests_per_min": requests_per_min, "max_jobs": max_jobs, "budget_pusd": budget_usd}
    return {name: None if text == _NO_LIMIT else _limit(name, text) for name, text in given.items() if text}


def _limit(name: str, text: str) -> int:
    if name == "budget_pusd":
        try:
            return pusd_from_usd(parsed_usd(text.removeprefix("$")))
        except ValueError as error:
            raise BadInput(f"--budget-usd {text!r} {error}") from None
    least = 1 if name == "requests_per_min" else 0
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= _MAX_COUNT:
        raise BadInput(f"--{name.replace('_', '-')} {text!r} must be a number from {least} to {_MAX_COUNT:,}, or none")
    return int(text)


def _expires_at(lifetime: str) -> float | None:
    if lifetime == "never":
        return None
    return time.time() + duration_s(lifetime, "--expires")


def _expiry_text(expires_at: float | None) -> str:
    if expires_at is None:
        return "never expires"
    return f"{'expired' if expires_at <= time.time() else 'expires'} {local_time(expires_at)}"
