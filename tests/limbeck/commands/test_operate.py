"""`limbeck db` and `limbeck key`."""

import re
from pathlib import Path

import pytest

from limbeck.cli import main
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


def test_db_check_and_upgrade(capsys: Capture) -> None:
    code, line = failed(["db", "check"], capsys)
    assert code == 1
    assert "limbeck db upgrade" in line
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "check"]) == 0
    assert "at the newest revision" in capsys.readouterr().out


def test_an_unreachable_database_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_DATABASE_URL", "postgresql://nobody:hunter2@127.0.0.1:1/none")
    code, line = failed(["db", "check"], capsys)
    assert code == 1
    assert "the database does not respond" in line
    assert "hunter2" not in line
