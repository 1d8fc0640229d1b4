"""`limbeck backup` and `limbeck restore`: a download of the restored service has the digest of the first one."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from api.app import create_app
from limbeck.cli import main
from store.artefacts import Artefacts
from store.db import Database
from store.models import Base
from store.upkeep import turns
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.api.published import FILE, SHA, publish
from tests.conftest import fresh_postgres

Capture = pytest.CaptureFixture[str]


def digest_of(home: Path, db: Database) -> str:
    """The sha256 of a download."""
    import httpx2

    with served(create_app(settings_at(home), db)) as url:
        return hashlib.sha256(httpx2.get(url + FILE).content).hexdigest()


def run(capsys: Capture, *arguments: str, code: int = 0) -> str:
    assert main(list(arguments)) == code
    printed = capsys.readouterr()
    return printed.out if not code else printed.err


def place(monkeypatch: pytest.MonkeyPatch, home: Path, url: str = "") -> None:
    for name in ("ARTEFACTS_URL", "REDIS_URL"):
        monkeypatch.delenv(f"LIMBECK_{name}", raising=False)
    monkeypatch.setenv("LIMBECK_HOME", str(home))
    monkeypatch.setenv("LIMBECK_DATABASE_URL", url)


def test_a_restored_service_has_the_same_downloads(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    artefacts = Artefacts(settings_at(tmp_path / "home").artefacts)
    publish(sqlite_db, artefacts)
    out, new = str(tmp_path / "backup"), tmp_path / "new"
    place(monkeypatch, tmp_path / "home", str(sqlite_db.url))
    first = json.loads(run(capsys, "backup", out, "--json"))
    assert first["num_files"] == first["num_copied"] == 4
    artefacts.put_bytes(b"more", "parts/q/t/more")
    artefacts.delete_below("parts/q/t/none")
    again = json.loads(run(capsys, "backup", out, "--json"))
    assert (again["num_files"], again["num_copied"]) == (5, 1)
    with sqlite_db.write() as tx:
        assert turns.take(tx, turns.FILES, "sweeper")
    assert "try again" in run(capsys, "backup", out, code=1)

    shutil.rmtree(tmp_path / "home" / "artefacts")
    place(monkeypatch, new)
    # A backup that was refused leaves the one before as it is.
    assert "restored; 3 files" in run(capsys, "restore", out)
    db = Database(f"sqlite:///{new / 'limbeck.db'}")
    assert digest_of(new, db) == SHA
    db.dispose()
    assert "not empty" in run(capsys, "restore", out, code=1)


def test_a_damaged_backup_is_refused(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    publish(sqlite_db, Artefacts(settings_at(tmp_path / "home").artefacts))
    place(monkeypatch, tmp_path / "home", str(sqlite_db.url))
    out = tmp_path / "backup"
    run(capsys, "backup", str(out))
    blob = max((path for path in out.rglob("*") if "blobs" in path.parts), key=lambda path: path.stat().st_size)
    blob.write_bytes(blob.read_bytes()[:-1] + b"!")
    place(monkeypatch, tmp_path / "new")
    assert "sha256" in run(capsys, "restore", str(out), code=1)
    (out / "backup.json").unlink()
    place(monkeypatch, tmp_path / "newer")
    assert "no complete backup" in run(capsys, "restore", str(out), code=1)


@pytest.mark.skipif(shutil.which("pg_dump") is None, reason="pg_dump is not installed")
def test_a_postgres_database_is_restored_into_another(
    postgres_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    publish(postgres_db, Artefacts(settings_at(tmp_path / "home").artefacts))
    place(monkeypatch, tmp_path / "home", postgres_db.url.render_as_string(hide_password=False))
    run(capsys, "backup", str(tmp_path / "backup"))
    with fresh_postgres() as url:
        other = Database(url)
        with other.write() as tx:
            Base.metadata.drop_all(tx.connection())
            tx.connection().exec_driver_sql("drop table alembic_version")
        place(monkeypatch, tmp_path / "new", url)
        assert "restored; 3 files" in run(capsys, "restore", str(tmp_path / "backup"))
        assert digest_of(tmp_path / "new", other) == SHA
        other.dispose()


def test_pg_dump_is_named_if_it_is_missing(
    postgres_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    place(monkeypatch, tmp_path / "home", postgres_db.url.render_as_string(hide_password=False))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "pg_dump is not installed" in run(capsys, "backup", str(tmp_path / "backup"), code=1)
