"""`limbeck db` and `limbeck key`."""

import json
import re
from pathlib import Path

import pytest

from limbeck.cli import main
from store.access import audit
from store.db import Database
from store.settings import Settings
from tests.limbeck.helpers import failed

pytestmark = pytest.mark.usefixtures("home")


Capture = pytest.CaptureFixture[str]


def test_a_secret_is_printed_once_on_stdout_and_not_stored(capsys: Capture, tmp_path: Path) -> None:
    assert main(["key", "create", "--name", "ci", "--scopes", "read", "--expires", "never"]) == 0
    printed = capsys.readouterr()
    secret = printed.out.strip()
    assert re.fullmatch(r"lbk_[\w-]{43}", secret)
    assert printed.out.count("\n") == 1
    assert secret not in printed.err
    key_id = printed.err.split()[1]

    assert main(["key", "list"]) == 0
    listed = capsys.readouterr().out
    assert key_id in listed
    assert secret not in listed
    assert "never expires" in listed
    stored = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert b"ci" in stored
    assert secret.encode() not in stored

    assert main(["key", "revoke", key_id]) == 0
    assert capsys.readouterr().out == f"{key_id} is revoked\n"
    assert main(["key", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


def test_limits_of_a_key(capsys: Capture) -> None:
    assert main(["key", "create", "--name", "ann", "--scope", "admin", "--max-jobs", "4", "--budget-usd", "$2.50"]) == 0
    key_id = capsys.readouterr().err.split()[1]
    assert main(["key", "limit", key_id, "--requests-per-min", "60", "--max-jobs", "none"]) == 0
    assert capsys.readouterr().out == f"limits of {key_id}: 60 requests/min, $2.50 per 30 days\n"
    assert main(["key", "list", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["scopes"] == ["admin", "read", "write"]
    assert (listed["requests_per_min"], listed["max_jobs"], listed["budget_usd"]) == (60, None, "2.5")
    with Database(Settings().database).read() as tx:
        recorded = [(row.route, row.owner, row.resource_id) for row in audit.page(tx, limit=9, after=None)[0]]
    assert recorded == [("limbeck key limit", "local", key_id), ("limbeck key create", "local", key_id)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["create", "--name", "me"], "reserved"),
        (["create", "--name", "a", "--max-jobs", "-1"], "--max-jobs"),
        (["create", "--name", "a", "--budget-usd", "1e3"], "--budget-usd"),
        (["limit", "key_1"], "name a limit"),
        (["limit", "key_1", "--max-jobs", "1"], "key_1"),
    ],
)
def test_invalid_limits_and_names(arguments: list[str], message: str, capsys: Capture) -> None:
    code, line = failed(["key", *arguments], capsys)
    assert code == 2
    assert message in line


def test_db_check_and_upgrade(capsys: Capture) -> None:
    code, line = failed(["db", "check"], capsys)
    assert code == 1
    assert "limbeck db upgrade" in line
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "check"]) == 0
    assert "at the newest revision" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change", [{"port": "1"}, {"user": "nobody", "password": "hunter2"}, {"dbname": "no_such_database"}]
)
def test_a_database_that_does_not_respond_is_one_line_without_the_password(
    change: dict[str, str], capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = {"user": "postgres", "password": "hunter2", "host": "127.0.0.1", "port": "5432", "dbname": "none"} | change
    url = "postgresql://{user}:{password}@{host}:{port}/{dbname}".format(**parts)
    monkeypatch.setenv("LIMBECK_DATABASE_URL", url)
    code, line = failed(["key", "list"], capsys)
    assert code == 1
    assert "the database does not respond: " in line
    assert "hunter2" not in line


def test_a_wrong_database_url_is_exit_code_2(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_DATABASE_URL", "mysql://nobody:hunter2@127.0.0.1/none")
    code, line = failed(["db", "check"], capsys)
    assert code == 2
    assert "LIMBECK_DATABASE_URL names mysql" in line


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "limbeck.db").write_text("hello " * 1000)
    line = "limbeck: the database does not respond: file is not a database\n"
    assert failed(["key", "list"], capsys) == (1, line)


def test_unknown_settings_are_named_before_the_command_runs(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_HOM", "/secret")
    assert main(["key", "list"]) == 0
    assert capsys.readouterr().err == "limbeck: LIMBECK_HOM: unknown setting; did you mean LIMBECK_HOME?\n"
