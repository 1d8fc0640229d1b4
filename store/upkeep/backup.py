"""Backup of a service while it runs, and restore into an empty place.

A backup is a folder: `database.sqlite` or `database.dump` (of `pg_dump`), `artefacts/` with the files by their keys,
and `backup.json`, which is written last. The database is copied first and the files after it, while nobody deletes
files (`store.upkeep.turns`): every file that a row of the copy names is there. A file that the folder has already, of
the same key and size, is not copied again, because files are never overwritten.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import delete, select, update

from store import migrate
from store.artefacts import Artefacts, ListedArtefact
from store.blobs import reading
from store.blobs.codec import BLOCK_BYTES
from store.db import Database
from store.errors import DatabaseUnusable
from store.jobs.feature_chunks import PREFIX as FEATURES
from store.models import CheckpointFile, EpochFile, Part, UpkeepTurn
from store.upkeep import turns
from store.upkeep.unused_artefacts import DATASETS, IMPORTS, PARTS

PREFIXES = (PARTS, DATASETS, IMPORTS, FEATURES)
MANIFEST, SQLITE, DUMP, FILES = "backup.json", "database.sqlite", "database.dump", "artefacts"
_RENEW_EVERY_S = 60.0


class BackupError(RuntimeError):
    """A backup cannot be made or restored. The text is one line."""


@dataclass(frozen=True)
class Backup:
    """What a backup holds. `num_copied`: files that this run copied."""

    revision: str
    created_at: float
    num_files: int
    num_bytes: int
    num_copied: int


def back_up(db: Database, artefacts: Artefacts, out: Path) -> Backup:
    """Write or update the backup in the folder `out`. Raises BackupError, DatabaseUnusable and OSError."""
    migrate.check(db)
    holder = f"backup:{os.getpid()}:{time.time()}"
    with turns.turn(db, turns.FILES, holder) as has_it:
        if not has_it:
            raise BackupError("another process cleans up or makes a backup: try again later")
        (out / FILES).mkdir(parents=True, exist_ok=True)
        (out / MANIFEST).unlink(missing_ok=True)
        created_at = time.time()
        _copy_database(db, out)
        num_copied, copied = _copy_files(db, artefacts, out / FILES, holder)
        revision = migrate.revision_of(db).current or ""
        made = Backup(revision, created_at, len(copied), sum(copied.values()), num_copied)
        (out / MANIFEST).write_text(json.dumps(asdict(made), indent=1) + "\n", encoding="utf-8")
    return made


def restore(source: Path, db: Database, artefacts: Artefacts) -> int:
    """Restore a backup into an empty database and an empty artefact store; returns the number of verified files.

    Every file of a bundle is read and compared with its sha256. Raises BackupError, DatabaseUnusable and OSError.
    """
    if not (source / MANIFEST).is_file():
        raise BackupError(f"{source} is no complete backup: {MANIFEST} is missing")
    dump = source / (SQLITE if db.is_sqlite else DUMP)
    if not dump.is_file():
        raise BackupError(f"the backup is of the other kind of database: {dump.name} is missing")
    if migrate.revision_of(db).current is not None:
        raise BackupError("the database is not empty: restore into a new one")
    if any(True for prefix in PREFIXES for _ in artefacts.list_below(prefix)):
        raise BackupError("the artefact store is not empty: restore into a new one")
    for file in sorted(path for path in (source / FILES).rglob("*") if path.is_file()):
        artefacts.put_file(file, file.relative_to(source / FILES).as_posix())
    _restore_database(db, dump)
    found = migrate.revision_of(db)
    if not found.is_known:
        raise DatabaseUnusable(found.fault)
    migrate.upgrade(db)
    _forget_passing_things(db, artefacts)
    return _verify(db, artefacts)


def _copy_database(db: Database, out: Path) -> None:
    if not db.is_sqlite:
        part = out / f".{DUMP}.part"
        _run_postgres(db, "pg_dump", "--format=custom", f"--file={part}")
        part.replace(out / DUMP)
        return
    part = out / f".{SQLITE}.part"
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(db.url.database or "")) as source, closing(sqlite3.connect(part)) as target:
        source.backup(target)
    part.replace(out / SQLITE)


def _restore_database(db: Database, dump: Path) -> None:
    if not db.is_sqlite:
        _run_postgres(db, "pg_restore", "--no-owner", "--exit-on-error", str(dump))
        return
    db.dispose()
    with closing(sqlite3.connect(dump)) as source, closing(sqlite3.connect(db.url.database or "")) as target:
        source.backup(target)


def _run_postgres(db: Database, program: str, *arguments: str) -> None:
    """Run a program of Postgres on the database; its password is passed in the environment."""
    if shutil.which(program) is None:
        raise BackupError(f"{program} is not installed: install the client programs of Postgres")
    url = db.url.set(drivername="postgresql", password=None).render_as_string()
    environment = {**os.environ, **({"PGPASSWORD": str(db.url.password)} if db.url.password else {})}
    name = [f"--dbname={url}"]
    done = subprocess.run([program, *name, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        raise BackupError(f"{program} failed: {reason}")


def _copy_files(db: Database, artefacts: Artefacts, folder: Path, holder: str) -> tuple[int, Mapping[str, int]]:
    """Copy the files of the store that the folder lacks, and delete those that the store has no more.

    Returns how many were copied, and key → size of all.
    """
    renewed_at, num_copied = time.monotonic(), 0
    copied: dict[str, int] = {}
    for file in _listed(artefacts):
        if time.monotonic() - renewed_at > _RENEW_EVERY_S:
            renewed_at = time.monotonic()
            with db.write() as tx:
                if not turns.take(tx, turns.FILES, holder):
                    raise BackupError("another process deletes files since the copy took too long: back up again")
        target = folder / file.key
        if not (target.is_file() and target.stat().st_size == file.size):
            part = target.with_name(f".{target.name}.part")
            try:
                artefacts.get_file(file.key, part)
            except FileNotFoundError:  # the training state of a running part, which a newer one has replaced
                continue
            part.replace(target)
            num_copied += 1
        copied[file.key] = file.size
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in copied:
            path.unlink()
    return num_copied, copied


def _listed(artefacts: Artefacts) -> Iterator[ListedArtefact]:
    for prefix in PREFIXES:
        yield from artefacts.list_below(prefix)


def _forget_passing_things(db: Database, artefacts: Artefacts) -> None:
    """Turns of processes of the other place, and training states that were replaced while the files were copied."""
    with db.write() as tx:
        tx.execute(delete(UpkeepTurn))
        states = tx.execute(select(Part.id, Part.state_key).where(Part.state_key.is_not(None))).all()
        gone = [part_id for part_id, key in states if key is not None and not artefacts.exists(key)]
        tx.execute(update(Part).where(Part.id.in_(gone)).values(state_key=None))


def _verify(db: Database, artefacts: Artefacts) -> int:
    with db.read() as tx:
        files = [(file.path, file.sha256, reading.content_of(tx, file)) for file in tx.scalars(select(CheckpointFile))]
        of_epochs = tx.scalars(select(EpochFile))
        files += [(file.path, file.sha256, reading.whole_file(file.file_key)) for file in of_epochs]
    for path, sha256, content in files:
        digest = hashlib.sha256()
        try:
            with reading.open_content(artefacts, content) as stream:
                while block := stream.read(BLOCK_BYTES):
                    digest.update(block)
        except FileNotFoundError:
            raise BackupError(f"a part of the file {path} of a bundle is missing in the backup") from None
        if digest.hexdigest() != sha256:
            raise BackupError(f"the file {path} of a bundle differs from its sha256: the backup is damaged")
    return len(files)
