"""The `limbeck` command: help, exit codes and one-line errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.limbeck.helpers import failed
from tests.limbeck.scripted import problem, scripted

pytestmark = pytest.mark.usefixtures("home")


Capture = pytest.CaptureFixture[str]


RUN = ["run", "--images", "birds", "--teacher", "ViT-B-32:openai", "--out", "student", "--labels"]


def test_help_lists_all_commands_without_heavy_imports() -> None:
    program = (
        "import sys; from limbeck.cli import main; main(['--help']); "
        "print([n for n in ('torch', 'sqlalchemy', 'fastapi', 'httpx2', 'store', 'api') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    *shown, loaded = ended.stdout.strip().splitlines()
    assert loaded == "[]"
    for command in ("serve", "run", "jobs", "watch", "cancel", "download", "classify", "attributes", "db", "key"):
        assert any(line.split()[:1] == [command] for line in shown), command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "frobnicate"),
        (["jobs", "--frobnicate"], "--frobnicate"),
        (["watch"], "JOB"),
        (["jobs", "--limit", "0"], "--limit"),
        ([*RUN, "missing.txt"], "missing.txt: No such file"),
        ([*RUN, "labels.txt", "--text", "poems"], "--text 'poems': choose"),
        ([*RUN, "labels.txt", "--set", "epochs"], "--set 'epochs': write it as field=value"),
        ([*RUN, "labels.txt", "--split", "{half"], "--split is not JSON"),
        (["download", "ckp_1", "--out", "x", "--parts", "imagge"], "unknown part imagge"),
        (["attributes", "export", "ats_1", "--format", "yaml"], "--format 'yaml'"),
        (["attributes", "import", "--label2text", "labels.txt"], "both --label2text and --sentences"),
        (["classify", "nowhere", "picture.png"], "nowhere holds no manifest.json"),
        (["classify", "x", "--among", "most", "picture.png"], "--among 'most'"),
        (["key", "create", "--name", "ci", "--expires", "soon"], "--expires 'soon'"),
        (["key", "create", "--name", "ci", "--scopes", "read,owner"], "owner: valid scopes are read, write, admin"),
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


def test_a_rejected_label_file_is_reported_with_its_pointer_and_exit_code_2(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("crane\n\n")
    rejection = problem(
        422, "label_invalid", "is blank", errors=[{"pointer": "/vocabulary/labels/1/name", "detail": "is blank"}]
    )
    with scripted([rejection]) as server:
        code, line = failed([*RUN, "labels.txt", "--url", server.url], capsys)
    assert (code, line) == (2, "limbeck: --labels: is blank\n")
    assert json.loads(server.seen[0].body)["vocabulary"]["labels"][0]["name"] == "crane"


def test_every_invalid_label_of_a_rejected_file_is_named(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\x07\nb\x07\n")
    errors = [{"pointer": f"/labels/{at}/name", "detail": f"line {at + 1}: has a control character"} for at in (0, 1)]
    with scripted([problem(422, "label_invalid", "line 1: has (and 1 more)", errors=errors)]) as server:
        code, line = failed([*RUN, "labels.txt", "--url", server.url], capsys)
    assert code == 2
    assert line == (
        'limbeck: labels.txt: line 1: label "a\\u0007" has a control character (U+0007); '
        'line 2: label "b\\u0007" has a control character (U+0007)\n'
    )


def test_an_option_that_the_service_rejects_is_exit_code_2(capsys: Capture) -> None:
    unknown = {"pointer": "/endpoint", "detail": "there is no endpoint 'nope'"}
    with scripted([problem(422, "endpoint_unknown", "there is no endpoint 'nope'", errors=[unknown])]) as server:
        code, line = failed(["enrich", "voc_1", "--endpoint", "nope", "--url", server.url], capsys)
    assert (code, line) == (2, "limbeck: --endpoint: there is no endpoint 'nope'\n")


def test_another_rejection_is_exit_code_1(capsys: Capture) -> None:
    with scripted([problem(409, "conflict", "is running")]) as server:
        code, line = failed(["cancel", "job_1", "--url", server.url], capsys)
    assert (code, line) == (1, "limbeck: job_1: conflict: is running\n")


def test_an_unreachable_service_is_exit_code_1(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.client.synchronous.http.pause_s", lambda attempt: 0.0)
    with scripted([]) as server:
        pass
    code, line = failed(["jobs", "--url", server.url], capsys)
    assert code == 1
    assert "does not respond" in line
