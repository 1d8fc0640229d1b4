"""`limbeck gc`: remove the artefacts, the cache files and the records that nothing refers to any more."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from limbeck.commands.common import CommandFailed, database, settings
from limbeck.commands.quantities import bytes_of, duration_s, size_text
from limbeck.commands.tables import AsJson, print_json, simple_table

if TYPE_CHECKING:
    from store.settings import Settings

_RECORDS = "stored responses to repeated requests"
_PAGES = "pages of deleted attribute sets"


@dataclass
class _Count:
    number: int = 0
    size: int = 0


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be removed; remove nothing.")] = False,
    older_than: Annotated[
        str, typer.Option(help="How old a file must be: 30m, 12h, 7d. Below an hour, register nothing meanwhile.")
    ] = "1h",
    cache_days: Annotated[
        int | None, typer.Option(min=0, help="Remove cached results that were not used for so many days.")
    ] = None,
    cache_bytes: Annotated[
        str, typer.Option(help="Remove the least recently used cached results above this size: 500MB, 20GB.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Remove what nothing refers to any more.

    These are training states of ended parts, files of attempts that died, outputs of trainings whose student is
    published, datasets that were never registered, half-written files, expired records, and teacher features that no
    job used for LIMBECK_KEEP_FEATURES_S. Cached results are removed only with --cache-days or --cache-bytes; they are
    computed again when a job needs them.

    It can run while the service runs: what a running part may use is left alone. The cache belongs to a machine; run
    the command on each.

        limbeck gc --dry-run
        limbeck gc --cache-days 30 --cache-bytes 50GB
    """
    grace_s = duration_s(older_than, "--older-than")
    max_bytes = bytes_of(cache_bytes, "--cache-bytes") if cache_bytes else None
    config = settings()
    counts = _artefacts(config, grace_s, dry_run)
    counts |= _cache(config, grace_s, None if cache_days is None else cache_days * 86_400.0, max_bytes, dry_run)
    if as_json:
        kinds = [{"kind": kind, "number": one.number, "bytes": one.size} for kind, one in counts.items()]
        print_json({"dry_run": dry_run, "kinds": kinds, "bytes": sum(one.size for one in counts.values())})
    else:
        _print(counts, dry_run)


def _artefacts(config: "Settings", grace_s: float, dry_run: bool) -> dict[str, _Count]:
    """Remove unused artefacts and expired records, or only count them."""
    from store import migrate
    from store.access import audit
    from store.artefacts import Artefacts
    from store.upkeep import expired_records, retention, sweep, unused_artefacts, unused_pages

    with database(config=config, upgraded=False) as db:
        migrate.check(db)
        keep_s = config.keep_idempotency_s
        with db.read() as tx:
            number, size = expired_records.count_expired(tx, keep_s=keep_s)
            num_pages = unused_pages.count_unused_pages(tx)
        try:
            artefacts = Artefacts(config.artefacts)
            if dry_run:
                old = retention.old_features(db, keep_s=config.keep_features_s) if config.keep_features_s else set()
                found = unused_artefacts.find_unused(db, artefacts, grace_s=grace_s, forgotten=old)
            else:
                sweep.sweep_records(db, config)
                swept = sweep.sweep(db, artefacts, config, f"gc:{os.getpid()}", grace_s=grace_s)
                if swept is None:
                    raise CommandFailed("another process cleans up, or a backup is being made: try again later")
                found, num_pages = list(swept.files), swept.num_pages
                with db.write() as tx:
                    audit.record_command(tx, "limbeck gc")
        except OSError as error:
            raise CommandFailed(f"the artefact store does not respond: {error}") from None
    counts = _counted((one.kind, one.file.size) for one in found)
    counts |= {_RECORDS: _Count(number, size)} if number else {}
    return counts | ({_PAGES: _Count(num_pages)} if num_pages else {})


def _cache(
    config: "Settings", grace_s: float, max_age_s: float | None, max_bytes: int | None, dry_run: bool
) -> dict[str, _Count]:
    from store.upkeep import cache_files

    with database(config=config, upgraded=False) as db, db.read() as tx:
        since = cache_files.in_use_since(tx)
    found = cache_files.find_unused(
        config.cache, since=since, grace_s=grace_s, max_age_s=max_age_s, max_bytes=max_bytes
    )
    return _counted((one.kind, one.size) for one in found if dry_run or cache_files.delete(one))


def _counted(items: Iterable[tuple[str, int]]) -> dict[str, _Count]:
    counts: dict[str, _Count] = {}
    for kind, size in items:
        count = counts.setdefault(kind, _Count())
        count.number, count.size = count.number + 1, count.size + size
    return counts


def _print(counts: Mapping[str, _Count], dry_run: bool) -> None:
    if not counts:
        typer.echo("nothing to remove")
        return
    rows = [(kind, f"{one.number:,}", size_text(one.size)) for kind, one in counts.items()]
    total = size_text(sum(one.size for one in counts.values()))
    typer.echo(simple_table(("kind", ">number", ">size"), rows))
    typer.echo(f"{total} would be removed; nothing was" if dry_run else f"{total} removed")
