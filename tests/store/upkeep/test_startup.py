"""The start of each process: unknown settings, wrong settings and unusable databases are one line, without secrets."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from api.__main__ import main as serve_api
from store import migrate
from store.db import Database
from store.errors import DatabaseUnusable, SettingInvalid
from store.settings import setting_names, unknown_settings
from workers.embedded import main as work
from workers.sweeper import main as sweep

Capture = pytest.CaptureFixture[str]
SECRET = "hunter2"


def test_a_mistyped_setting_gets_the_near_name_and_shows_no_value() -> None:
    found = unknown_settings({"LIMBECK_DATABSE_URL": f"postgresql://u:{SECRET}@h/d", "PATH": "/bin"})
    assert found == {"LIMBECK_DATABSE_URL": "LIMBECK_DATABSE_URL: unknown setting; did you mean LIMBECK_DATABASE_URL?"}


def test_settings_that_something_reads_are_known(tmp_path: Path) -> None:
    file = tmp_path / "endpoints.toml"
    file.write_text('[[endpoint]]\nname = "azure"\napi_key_env = "LIMBECK_AZURE_KEY"\n')
    known = [*setting_names(), "limbeck_port", "LIMBECK_URL", "LIMBECK_KEY", "LIMBECK_DATA", "LIMBECK_AZURE_KEY"]
    assert unknown_settings(dict.fromkeys(known, "x"), file) == {}
    assert list(unknown_settings({"LIMBECK_AZURE_KEY": "x"})) == ["LIMBECK_AZURE_KEY"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"postgresql//u:{SECRET}@h/d", "is not a database URL"),
        (f"postgresql://u:{SECRET}@h:port/d", "is not a database URL"),
        (f"mysql://u:{SECRET}@h/d", "names mysql, which is not supported"),
        (f"postgresql+psycopg2://u:{SECRET}@h/d", "names postgresql\\+psycopg2, which is not supported"),
        (f"nonsense+x://u:{SECRET}@h/d", "names nonsense\\+x, which is not supported"),
    ],
)
def test_a_wrong_database_url_is_invalid(url: str, message: str) -> None:
    with pytest.raises(SettingInvalid, match=f"^LIMBECK_DATABASE_URL {message}") as caught:
        Database(url)
    assert SECRET not in str(caught.value)


def test_a_folder_that_cannot_be_created_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUnusable, match="cannot be created"):
        Database(f"sqlite:///{tmp_path}/file/limbeck.db")


def test_an_older_a_newer_and_an_empty_database_are_told_apart(db: Database) -> None:
    migrate.check(db)
    newest = migrate.revision_of(db).newest
    try:
        for revision, message in (("0007", "run limbeck db upgrade"), ("9999", "newer version"), (None, "no tables")):
            _set_revision(db, revision)
            with pytest.raises(DatabaseUnusable, match=message):
                migrate.check(db)
        _set_revision(db, "9999")
        with pytest.raises(DatabaseUnusable, match="update this installation"):
            migrate.upgrade(db)
    finally:
        _set_revision(db, newest)


def _set_revision(db: Database, revision: str | None) -> None:
    with db.write() as tx:
        tx.execute(text("delete from alembic_version"))
        if revision:
            tx.execute(text("insert into alembic_version values (:revision)"), {"revision": revision})


@pytest.mark.parametrize(
    ("program", "main"),
    [("python -m api", serve_api), ("python -m workers.sweeper", sweep), ("python -m workers.embedded", work)],
)
def test_each_process_names_unknown_settings_and_ends_with_one_line(
    program: str, main: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for name in [name for name in os.environ if name.startswith("LIMBECK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["main"])
    for module in ("workers.sweeper", "workers.embedded"):  # the log of the other tests stays as it is
        monkeypatch.setattr(f"{module}.configure", lambda: None)
    monkeypatch.setenv("LIMBECK_HOME", str(tmp_path))
    monkeypatch.setenv("LIMBECK_HOM", SECRET)
    assert _ended(main, capsys) == (
        1,
        f"{program}: LIMBECK_HOM: unknown setting; did you mean LIMBECK_HOME?\n"
        f"{program}: the database has no tables of Limbeck yet: run limbeck db upgrade\n",
    )
    monkeypatch.delenv("LIMBECK_HOM")
    monkeypatch.setenv("LIMBECK_PORT", SECRET)
    code, line = _ended(main, capsys)
    assert code == 2
    assert line.startswith(f"{program}: LIMBECK_PORT: Input should be a valid integer")
    assert SECRET not in line


def _ended(main: Callable[[], object], capsys: Capture) -> tuple[object, str]:
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code, capsys.readouterr().err


@pytest.mark.nightly
def test_a_celery_worker_ends_with_one_line(tmp_path: Path) -> None:
    celery = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", "gpu", "-c", "1"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LIMBECK_")}
    env |= {"LIMBECK_HOME": str(tmp_path), "LIMBECK_DATABASE_URL": f"mysql://u:{SECRET}@h/d"}
    ended = subprocess.run(celery, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("workers.app: LIMBECK_DATABASE_URL names mysql")
