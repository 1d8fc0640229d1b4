"""The `limbeck` command: exit codes, one-line errors, and keys whose secret is printed once."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from limbeck.cli import main
from limbeck.commands.common import BadInput, assignments
from limbeck.commands.run import parse_split
from tests.limbeck.scripted import Say, problem, scripted
from tests.limbeck.test_client import job

Capture = pytest.CaptureFixture[str]
RUN = ["run", "--images", "birds", "--teacher", "ViT-B-32:openai", "--out", "student", "--labels"]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIMBECK_HOME", str(tmp_path / "home"))
    for name in ("LIMBECK_DATABASE_URL", "LIMBECK_REDIS_URL", "LIMBECK_HOST", "LIMBECK_URL", "LIMBECK_KEY"):
        monkeypatch.delenv(name, raising=False)


def failed(arguments: list[str], capsys: Capture) -> tuple[int, str]:
    """The exit code and the one line on stderr."""
    code = main(arguments)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1, printed.err
    assert printed.err.startswith("limbeck: ")
    return code, printed.err


def test_help_lists_all_commands_without_heavy_imports() -> None:
    program = (
        "import sys; from limbeck.cli import main; main(['--help']); "
        "print([n for n in ('torch', 'sqlalchemy', 'fastapi', 'httpx2', 'store', 'api') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *shown, loaded = ended.stdout.strip().splitlines()
    assert loaded == "[]"
    for command in ("serve", "run", "jobs", "job", "cancel", "download", "classify", "attributes", "db", "key"):
        assert any(line.split()[:1] == [command] for line in shown), command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "frobnicate"),
        (["jobs", "--frobnicate"], "--frobnicate"),
        (["job"], "JOB"),
        (["jobs", "--limit", "0"], "--limit"),
        ([*RUN, "missing.txt"], "missing.txt: No such file"),
        ([*RUN, "labels.txt", "--text", "poems"], "--text 'poems': choose"),
        ([*RUN, "labels.txt", "--set", "epochs"], "--set 'epochs': write it as field=value"),
        ([*RUN, "labels.txt", "--split", "{half"], "--split is not JSON"),
        (["download", "ckp_1", "--out", "x", "--parts", "imagge"], "unknown part imagge"),
        (["attributes", "export", "ats_1", "--format", "yaml"], "--format 'yaml'"),
        (["attributes", "import", "--label2text", "labels.txt"], "both --label2text and --sentences"),
        (["classify", "--checkpoint", "nowhere", "picture.png"], "nowhere is not a downloaded student"),
        (["classify", "--checkpoint", "x", "--among", "most", "picture.png"], "--among 'most'"),
        (["key", "create", "--name", "ci", "--expires", "soon"], "--expires 'soon'"),
        (["key", "create", "--name", "ci", "--scopes", "read,admin"], "admin: valid scopes are read and write"),
        (["key", "create", "--name", " "], "--name is blank"),
        (["key", "revoke", "key_unknown"], "no key 'key_unknown'"),
    ],
)
def test_invalid_input_is_one_line_with_exit_code_2(
    arguments: list[str], message: str, capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text("crane\n")
    code, line = failed(arguments, capsys)
    assert code == 2
    assert message in line


def test_an_invalid_setting_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_PORT", "99999")
    code, line = failed(["serve"], capsys)
    assert code == 2
    assert "LIMBECK_PORT" in line


def test_a_rejected_request_is_reported_with_its_pointer_and_exit_code_1(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("crane\n\n")
    rejection = problem(422, "label_invalid", "is blank", errors=[{"pointer": "/labels/1/name", "detail": "is blank"}])
    with scripted([rejection]) as server:
        code, line = failed([*RUN, "labels.txt", "--url", server.url], capsys)
    assert (code, line) == (1, "limbeck: label_invalid at /labels/1/name: is blank\n")
    assert server.seen[0].headers["content-type"] == "text/plain"
    assert server.seen[0].body == b"crane\n\n"


def test_an_unreachable_service_is_exit_code_1(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.http.pause_s", lambda attempt: 0.0)
    with scripted([]) as server:
        pass
    code, line = failed(["jobs", "--url", server.url], capsys)
    assert code == 1
    assert "does not respond" in line


def test_jobs_and_cancel_show_the_status(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_KEY", "lbk_secret")
    with scripted([Say(200, {"data": [job("running")], "has_more": False})]) as server:
        assert main(["jobs", "--url", server.url]) == 0
    assert server.seen[0].headers["authorization"] == "Bearer lbk_secret"
    assert re.search(r"job_1\s+enrich\s+running\s+1/4 labels", capsys.readouterr().out)
    with scripted([Say(202, job("cancelling"))]) as server:
        assert main(["cancel", "job_1", "--url", server.url]) == 0
    assert capsys.readouterr().out == "job_1 cancelling\n"


def test_a_failed_job_is_shown_with_its_events_and_exit_code_1(capsys: Capture) -> None:
    ended = job("failed", error={"code": "worker_lost", "message": "its worker stopped answering"})
    event = {"id": 1, "at": "2026-11-23T21:04:05Z", "level": "warning", "type": "message", "message": "[red]odd[/red]"}
    with scripted([Say(200, ended), Say(200, {"data": [event], "has_more": False}), Say(200, ended)]) as server:
        code = main(["job", "job_1", "--url", server.url])
    printed = capsys.readouterr()
    assert code == 1
    assert "[red]odd[/red]" in printed.out
    assert printed.err == "limbeck: enrich job job_1 failed: worker_lost: its worker stopped answering\n"


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


def test_serve_beyond_loopback_requires_a_key(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_HOST", "0.0.0.0")
    code, line = failed(["serve"], capsys)
    assert code == 1
    assert "limbeck key create" in line


def test_distributed_serve_does_not_upgrade_the_database(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_HOST", "0.0.0.0")
    monkeypatch.setenv("LIMBECK_REDIS_URL", "redis://127.0.0.1:1/0")
    code, line = failed(["serve"], capsys)
    assert code == 1
    assert "run limbeck db upgrade" in line


def test_a_used_port_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("LIMBECK_PORT", str(taken.getsockname()[1]))
        code, line = failed(["serve"], capsys)
    assert code == 1
    assert "Address already in use" in line


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ([], {}),
        (["epochs=10", "losses.mse=0", "losses.cls=0.5"], {"epochs": 10, "losses": {"mse": 0, "cls": 0.5}}),
        (["milestones=[3, 6]", "student=resnet18"], {"milestones": [3, 6], "student": "resnet18"}),
        (["a=b=c", "empty="], {"a": "b=c", "empty": ""}),
    ],
)
def test_assignments_are_nested_and_parsed_as_json(given: list[str], fields: dict[str, Any]) -> None:
    assert assignments(given, "--set") == fields


@pytest.mark.parametrize("given", [["=1"], ["a..b=1"], ["losses=1", "losses.mse=0"]])
def test_invalid_assignments_are_rejected(given: list[str]) -> None:
    with pytest.raises(BadInput, match="--set"):
        assignments(given, "--set")


def test_a_split_is_parsed_for_the_api() -> None:
    assert parse_split("folders") == {"by": "folders"}
    assert parse_split("seed=3, id_fraction=0.5") == {"by": "seed", "seed": 3, "id_fraction": 0.5}
    by_list = {"by": "list", "id": ["a"], "ood": ["b"]}
    assert parse_split(json.dumps(by_list)) == by_list
