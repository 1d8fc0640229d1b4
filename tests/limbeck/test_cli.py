"""The command: exit codes, one line for each error, and keys that are shown once."""

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
from limbeck.commands.run import split_of
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
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert said.err.startswith("limbeck: ")
    return code, said.err


def test_help_names_every_command_and_loads_no_room() -> None:
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
    ("arguments", "says"),
    [
        (["frobnicate"], "frobnicate"),
        (["jobs", "--frobnicate"], "--frobnicate"),
        (["job"], "JOB"),
        (["jobs", "--limit", "0"], "--limit"),
        ([*RUN, "missing.txt"], "missing.txt: No such file"),
        ([*RUN, "labels.txt", "--text", "poems"], "--text 'poems': choose"),
        ([*RUN, "labels.txt", "--set", "epochs"], "--set 'epochs': write it as field=value"),
        ([*RUN, "labels.txt", "--split", "{half"], "--split is no JSON"),
        (["download", "ckp_1", "--out", "x", "--parts", "imagge"], "no part imagge"),
        (["attributes", "export", "ats_1", "--format", "yaml"], "--format 'yaml'"),
        (["attributes", "import", "--label2text", "labels.txt"], "both --label2text and --sentences"),
        (["classify", "--checkpoint", "nowhere", "picture.png"], "nowhere is no downloaded student"),
        (["classify", "--checkpoint", "x", "--among", "most", "picture.png"], "--among 'most'"),
        (["key", "create", "--name", "ci", "--expires", "soon"], "--expires 'soon'"),
        (["key", "create", "--name", "ci", "--scopes", "read,admin"], "admin: a key's scopes are read and write"),
        (["key", "create", "--name", " "], "--name is blank"),
        (["key", "revoke", "key_unknown"], "no key 'key_unknown'"),
    ],
)
def test_what_was_given_wrong_is_said_in_a_line_with_code_2(
    arguments: list[str], says: str, capsys: Capture, tmp_path: Path
) -> None:
    (tmp_path / "labels.txt").write_text("crane\n")
    code, line = failed(arguments, capsys)
    assert code == 2
    assert says in line


def test_a_wrong_setting_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_PORT", "99999")
    code, line = failed(["serve"], capsys)
    assert code == 2
    assert "LIMBECK_PORT" in line


def test_what_the_service_refuses_is_said_with_its_pointer_and_code_1(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("crane\n\n")
    refusal = problem(422, "label_invalid", "is blank", errors=[{"pointer": "/labels/1/name", "detail": "is blank"}])
    with scripted([refusal]) as server:
        code, line = failed([*RUN, "labels.txt", "--url", server.url], capsys)
    assert (code, line) == (1, "limbeck: label_invalid at /labels/1/name: is blank\n")
    assert server.seen[0].headers["content-type"] == "text/plain"
    assert server.seen[0].body == b"crane\n\n"


def test_a_service_that_is_not_there_is_code_1(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.http.pause_s", lambda attempt: 0.0)
    with scripted([]) as server:
        pass
    code, line = failed(["jobs", "--url", server.url], capsys)
    assert code == 1
    assert "does not answer" in line


def test_jobs_and_cancel_show_what_the_service_says(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_KEY", "lbk_secret")
    with scripted([Say(200, {"data": [job("running")], "has_more": False})]) as server:
        assert main(["jobs", "--url", server.url]) == 0
    assert server.seen[0].headers["authorization"] == "Bearer lbk_secret"
    assert re.search(r"job_1\s+enrich\s+running\s+1/4 labels", capsys.readouterr().out)
    with scripted([Say(202, job("cancelling"))]) as server:
        assert main(["cancel", "job_1", "--url", server.url]) == 0
    assert capsys.readouterr().out == "job_1 cancelling\n"


def test_a_failed_job_is_shown_with_its_events_and_code_1(capsys: Capture) -> None:
    ended = job("failed", error={"code": "worker_lost", "message": "its worker stopped answering"})
    event = {"id": 1, "at": "2026-11-23T21:04:05Z", "level": "warning", "type": "message", "message": "[red]odd[/red]"}
    with scripted([Say(200, ended), Say(200, {"data": [event], "has_more": False}), Say(200, ended)]) as server:
        code = main(["job", "job_1", "--url", server.url])
    said = capsys.readouterr()
    assert code == 1
    assert "[red]odd[/red]" in said.out
    assert said.err == "limbeck: enrich job job_1 failed: worker_lost: its worker stopped answering\n"


def test_a_key_is_printed_once_alone_on_stdout_and_kept_nowhere(capsys: Capture, tmp_path: Path) -> None:
    assert main(["key", "create", "--name", "ci", "--scopes", "read", "--expires", "never"]) == 0
    said = capsys.readouterr()
    secret = said.out.strip()
    assert re.fullmatch(r"lbk_[\w-]{43}", secret)
    assert said.out.count("\n") == 1
    assert secret not in said.err
    key_id = said.err.split()[1]

    assert main(["key", "list"]) == 0
    listed = capsys.readouterr().out
    assert key_id in listed
    assert secret not in listed
    assert "never expires" in listed
    held = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert b"ci" in held
    assert secret.encode() not in held

    assert main(["key", "revoke", key_id]) == 0
    assert capsys.readouterr().out == f"{key_id} is revoked\n"
    assert main(["key", "list"]) == 0
    assert "revoked" in capsys.readouterr().out


def test_the_database_is_checked_and_brought_up_to_date(capsys: Capture) -> None:
    code, line = failed(["db", "check"], capsys)
    assert code == 1
    assert "limbeck db upgrade" in line
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "check"]) == 0
    assert "at the newest revision" in capsys.readouterr().out


def test_a_database_that_is_away_is_a_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_DATABASE_URL", "postgresql://nobody:hunter2@127.0.0.1:1/none")
    code, line = failed(["db", "check"], capsys)
    assert code == 1
    assert "the database does not answer" in line
    assert "hunter2" not in line


def test_serve_beyond_loopback_wants_a_key_first(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_HOST", "0.0.0.0")
    code, line = failed(["serve"], capsys)
    assert code == 1
    assert "limbeck key create" in line


def test_distributed_serve_leaves_the_tables_to_db_upgrade(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_HOST", "0.0.0.0")
    monkeypatch.setenv("LIMBECK_REDIS_URL", "redis://127.0.0.1:1/0")
    code, line = failed(["serve"], capsys)
    assert code == 1
    assert "run limbeck db upgrade" in line


def test_a_port_that_is_taken_is_a_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_assignments_are_nested_and_read_as_json(given: list[str], fields: dict[str, Any]) -> None:
    assert assignments(given, "--set") == fields


@pytest.mark.parametrize("given", [["=1"], ["a..b=1"], ["losses=1", "losses.mse=0"]])
def test_assignments_that_make_no_sense_are_refused(given: list[str]) -> None:
    with pytest.raises(BadInput, match="--set"):
        assignments(given, "--set")


def test_a_split_is_what_the_api_takes() -> None:
    assert split_of("folders") == {"by": "folders"}
    assert split_of("seed=3, id_fraction=0.5") == {"by": "seed", "seed": 3, "id_fraction": 0.5}
    by_list = {"by": "list", "id": ["a"], "ood": ["b"]}
    assert split_of(json.dumps(by_list)) == by_list
