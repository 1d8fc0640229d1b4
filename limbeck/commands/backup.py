"""`limbeck backup` and `limbeck restore`: a copy of the database and the artefacts, made while the service runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from limbeck.commands.common import BadInput, CommandFailed, database, settings
from limbeck.commands.quantities import size_text
from limbeck.commands.tables import AsJson, print_json
from limbeck.shared.text import counted


def backup(
    out: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder of the backup, which may hold an older one.")
    ],
    as_json: AsJson = False,
) -> None:
    """Copy the database and the artefacts to a folder, while the service runs.

    The database is copied first: of SQLite by its backup interface, of Postgres by pg_dump, which must be installed. A
    second backup into the same folder copies only new files. Nothing is cleaned up meanwhile. Images, teachers and
    caches are not part of it.

        limbeck backup /backups/limbeck
    """
    from store.artefacts import Artefacts
    from store.upkeep.backup import back_up

    config = settings()
    with database(config=config, upgraded=False) as db, _one_line():
        made = back_up(db, Artefacts(config.artefacts), out)
    if as_json:
        return print_json(vars(made))
    typer.echo(f"{counted(made.num_files, 'file')}, {size_text(made.num_bytes)}; {made.num_copied:,} were copied now")
    return None


def restore(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder that `limbeck backup` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Restore a backup into the database and the artefact store of the settings, which must be empty.

    The service must not run. Every file of every student is read and compared with its sha256.

    limbeck restore /backups/limbeck
    """
    from store.artefacts import Artefacts
    from store.upkeep.backup import restore as restore_from

    if not source.is_dir():
        raise BadInput(f"{source} is no folder")
    config = settings()
    with database(config=config, upgraded=False) as db, _one_line():
        num_files = restore_from(source, db, Artefacts(config.artefacts))
    if as_json:
        return print_json({"verified_files": num_files})
    typer.echo(f"restored; {counted(num_files, 'file')} of students are as they were")
    return None


@contextmanager
def _one_line() -> Iterator[None]:
    """Errors of the store as one line."""
    from store.upkeep.backup import BackupError

    try:
        yield
    except (BackupError, OSError) as error:
        raise CommandFailed(str(error)) from None
