"""`python -m attributes`: one-line errors, exit codes, and continuation after an interruption."""

import functools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from attributes.cli.describe import main
from attributes.formats.limbeck_json import read_json, write_json
from attributes.llm.limits import LocalLimiter
from attributes.types import Entry, sentence_and_phrases
from tests.attributes.custom_strategies import custom_strategy
from tests.attributes.fake_llm import (
    FakeLLM,
    FakeRequest,
    FakeResponse,
    completion,
    content_for_label,
    error_response,
    respond_correctly,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"bird {i}\n" for i in range(12)), encoding="utf-8")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "set.json"


@pytest.fixture(autouse=True)
def no_llm_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BASE_URL", "MODEL", "API_KEY", "API_VERSION", "HEADERS"):
        monkeypatch.delenv(f"LIMBECK_LLM_{name}", raising=False)


def command(labels: Path, out: Path, llm: FakeLLM, *more: str) -> list[str]:
    return [str(labels), "--domain", "birds", "--base-url", llm.url, "--model", "m", "--out", str(out), *more]


def test_all_labels_are_described(labels: Path, out: Path, llm: FakeLLM, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(labels, out, llm)) == 0
    file = read_json(out.read_text(encoding="utf-8"))
    assert [entry.label for entry in file.entries] == [f"bird {i}" for i in range(12)]
    assert (file.domain, file.strategy, file.model) == ("birds", "describe@1", "m")
    assert llm.num_calls == 12
    stderr = capsys.readouterr().err
    assert "labels.txt: read as plain text, one label per line; 12 labels; " in stderr
    assert "12/12" in stderr
    assert "results/s" in stderr
    assert "12 entries; 12 calls, 1,200 + 480 tokens" in stderr
    assert sorted(path.name for path in out.parent.iterdir()) == ["labels.txt", "set.json"]


def test_tokens_that_the_server_did_not_count_are_not_0(
    labels: Path, out: Path, llm: FakeLLM, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.write_text("auk\ncrane\n")

    def script(request: FakeRequest, _index: int) -> FakeResponse:
        body = completion(content_for_label(request.subject["label"]))
        return FakeResponse(body=body | {"usage": None})

    llm.script = script
    assert main(command(labels, out, llm)) == 0
    counts = "2 calls, 0 + 0 tokens; the server counted no tokens of 2 of them"
    assert counts in capsys.readouterr().err


@pytest.mark.slow
def test_strategies_can_be_combined(labels: Path, out: Path, llm: FakeLLM) -> None:
    chain = ["--strategy", "sentence", "--strategy", "questions", "--strategy", "phrases"]
    llm.script = lambda seen, nth: error_response(500) if nth == 20 else respond_correctly(seen, nth)
    assert main(command(labels, out, llm, *chain, "--max-attempts", "1")) == 3
    first = llm.num_calls
    assert main(command(labels, out, llm, *chain)) == 0
    assert llm.num_calls == first + 1  # only the failed question
    file = read_json(out.read_text(encoding="utf-8"))
    assert file.strategy == "sentence@1+questions@1+phrases@1"
    for entry in file.entries:
        assert [line.kind for line in entry.lines] == ["sentence"] + ["answer"] * 12 + ["phrase"] * 5
        assert [line.strategy for line in entry.lines] == ["sentence@1"] + ["questions@1"] * 12 + ["phrases@1"] * 5
    assert main(command(labels, out, llm, *chain)) == 0
    assert llm.num_calls == first + 1


def test_strategies_can_be_in_a_folder_of_the_user(
    labels: Path, out: Path, llm: FakeLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    custom_strategy(tmp_path / "own", name="colours", questions=["Which colours has it?"])
    assert main(command(labels, out, llm, "--strategy", "colours", "--strategies-dir", str(tmp_path / "own"))) == 0
    assert {line.about for entry in read_json(out.read_text(encoding="utf-8")).entries for line in entry.lines} == {
        "Which colours has it?"
    }
    monkeypatch.setenv("LIMBECK_STRATEGIES_DIR", str(tmp_path / "own"))
    assert main(command(labels, out, llm, "--strategy", "colours")) == 0
    assert llm.num_calls == 12


@pytest.mark.slow
def test_rate_limits_delay_calls(labels: Path, out: Path, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "attributes.cli.describe.LocalLimiter", functools.partial(LocalLimiter, window_s=0.4, margin_s=0.7)
    )
    assert main(command(labels, out, llm, "--rpm", "5", "--tpm", "1000000")) == 0
    times = [request.received_at for request in llm.requests]
    assert max(sum(start <= at < start + 0.4 for at in times) for start in times) <= 5


@pytest.mark.slow
def test_a_second_run_sends_only_questions_about_new_labels(labels: Path, out: Path, llm: FakeLLM) -> None:
    main(command(labels, out, llm))
    before = out.read_bytes()
    assert main(command(labels, out, llm)) == 0
    assert llm.num_calls == 12
    assert out.read_bytes() == before
    labels.write_text("new bird\n" + labels.read_text(encoding="utf-8"), encoding="utf-8")
    assert main(command(labels, out, llm)) == 0
    assert llm.num_calls == 13
    assert read_json(out.read_text(encoding="utf-8")).entries[0].label == "new bird"


def test_failed_labels_are_printed_and_sent_again_by_the_next_run(
    labels: Path, out: Path, llm: FakeLLM, capsys: pytest.CaptureFixture[str]
) -> None:
    llm.script = lambda seen, nth: (
        FakeResponse(body=completion(None, refusal="no"))
        if seen.subject["label"] == "bird 5"
        else respond_correctly(seen, nth)
    )
    assert main(command(labels, out, llm)) == 3
    stderr = capsys.readouterr().err
    assert "refused: 1 question without a response, because the model or its content filter declined" in stderr
    assert "  for example bird 5: no\n  remedy: Give an ambiguous label a sense" in stderr
    assert len(read_json(out.read_text(encoding="utf-8")).entries) == 11
    llm.script = respond_correctly
    assert main(command(labels, out, llm)) == 0
    assert llm.num_calls == 13
    assert [entry.label for entry in read_json(out.read_text(encoding="utf-8")).entries][5] == "bird 5"


def test_lines_of_people_are_kept(labels: Path, out: Path, llm: FakeLLM, capsys: pytest.CaptureFixture[str]) -> None:
    written = sentence_and_phrases("Mine.", (), origin="human")
    human = [
        Entry("Bird 3", lines=written),
        Entry("old bird", lines=sentence_and_phrases("Kept.", (), origin="import")),
    ]
    out.write_text("".join(write_json(human)), encoding="utf-8")
    assert main(command(labels, out, llm)) == 0
    entries = read_json(out.read_text(encoding="utf-8")).entries
    assert llm.num_calls == 11
    assert entries[3] == human[0]
    assert entries[12] == human[1]
    assert "1 of them from an earlier run, not in the label list" in capsys.readouterr().err


def test_language_and_system_prompt_shape_the_request(labels: Path, out: Path, llm: FakeLLM, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("You are a botanist.\n", encoding="utf-8")
    options = ["--strategy", "sentence", "--language", "de", "--system-prompt", str(prompt)]
    assert main(command(labels, out, llm, *options)) == 0
    system, user = (message["content"] for message in llm.requests[0].body["messages"])
    assert system.startswith("You are a botanist.\n\nYou are given one line of JSON")
    assert "Write all values of the JSON fields in German" in system
    assert user.endswith("Write in German; repeat the label as given.")
    assert main(command(labels, out, llm, *options)) == 0
    assert llm.num_calls == 12
    assert main(command(labels, out, llm, "--strategy", "sentence")) == 0  # another language is another question
    assert llm.num_calls == 24


def test_a_wrong_key_ends_the_run(labels: Path, out: Path, llm: FakeLLM, capsys: pytest.CaptureFixture[str]) -> None:
    llm.script = lambda seen, nth: error_response(401, "bad key")
    assert main(command(labels, out, llm)) == 1
    stderr = capsys.readouterr().err
    assert "error: the LLM server refuses the key" in stderr
    assert "  remedy: Set LIMBECK_LLM_API_KEY to a key of this server" in stderr
    assert llm.num_calls == 1
    assert not out.exists()


def test_the_key_is_read_from_the_environment(
    labels: Path, out: Path, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMBECK_LLM_API_KEY", "sk-from-the-environment")
    monkeypatch.setenv("LIMBECK_LLM_BASE_URL", llm.url)
    monkeypatch.setenv("LIMBECK_LLM_MODEL", "m")
    assert main([str(labels), "--out", str(out)]) == 0
    assert llm.requests[0].headers["authorization"] == "Bearer sk-from-the-environment"
    assert "sk-from" not in capsys.readouterr().err + out.read_text(encoding="utf-8")


def test_azure_and_headers_are_read_from_the_environment(
    labels: Path, out: Path, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMBECK_LLM_API_VERSION", "2024-10-21")
    monkeypatch.setenv("LIMBECK_LLM_HEADERS", '{"X-Gateway": "secret-token"}')
    assert main(command(labels, out, llm)) == 0
    request = llm.requests[0]
    assert request.path.endswith("/openai/deployments/m/chat/completions?api-version=2024-10-21")
    assert request.headers["x-gateway"] == "secret-token"
    assert main(command(labels, out, llm, "--api-version", "?")) == 2
    monkeypatch.setenv("LIMBECK_LLM_HEADERS", "secret-token")
    assert main(command(labels, out, llm)) == 2
    stderr = capsys.readouterr().err
    assert "--api-version: " in stderr
    assert "LIMBECK_LLM_HEADERS: " in stderr
    assert "secret-token" not in stderr


def test_optional_parameters_come_from_options_or_the_environment(
    labels: Path, out: Path, llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIMBECK_LLM_SEED", "5")
    monkeypatch.setenv("LIMBECK_LLM_TOP_P", "0.5")
    monkeypatch.setenv("LIMBECK_LLM_REASONING_EFFORT", "")
    options = ["--top-p", "0.9", "--reasoning-effort", "low", "--extra-body", '{"provider": {"order": ["x"]}}']
    assert main(command(labels, out, llm, *options)) == 0
    body = llm.requests[0].body
    assert (body["seed"], body["top_p"], body["reasoning_effort"]) == (5, 0.9, "low")
    assert body["provider"] == {"order": ["x"]}
    for variable, value, place in (
        ("SEED", "many", "LIMBECK_LLM_SEED: "),
        ("EXTRA_BODY", "[]", "LIMBECK_LLM_EXTRA_BODY: must be a JSON object"),
        ("OUTAGE_LIMIT_S", "0", "LIMBECK_LLM_OUTAGE_LIMIT_S: "),
        ("CA_FILE", "/nowhere.pem", "LIMBECK_LLM_CA_FILE: there is no file /nowhere.pem"),
        ("PROXY", "socks4://me:hunter2@proxy:1", "LIMBECK_LLM_PROXY: a proxy of the kind socks4:// is not supported"),
        ("MAX_REASONING_TOKENS", "-1", "LIMBECK_LLM_MAX_REASONING_TOKENS: "),
    ):
        with monkeypatch.context() as patched:
            patched.setenv(f"LIMBECK_LLM_{variable}", value)
            assert main(command(labels, out, llm)) == 2
        stderr = capsys.readouterr().err
        assert place in stderr
        assert "hunter2" not in stderr
    assert main(command(labels, out, llm, "--top-p", "2")) == 2
    assert "--top-p: " in capsys.readouterr().err


def wait_for_lines(path: Path, num_lines: int) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text(encoding="utf-8").count("\n") >= num_lines):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("sent_signal", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_can_be_continued(
    sent_signal: signal.Signals, labels: Path, out: Path, llm: FakeLLM
) -> None:
    # Later responses are slow, so that the run has not ended before the signal arrives on a busy machine.
    llm.script = lambda seen, nth: FakeResponse(
        body=completion(content_for_label(seen.subject["label"])), wait_s=0.15 if nth < 5 else 1.5
    )
    arguments = command(labels, out, llm, "--concurrency", "2")
    journal = out.with_name("set.json.part")
    run = subprocess.Popen(
        [sys.executable, "-m", "attributes", *arguments],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        env=os.environ | {"COLUMNS": "200"},
    )
    wait_for_lines(journal, 4)
    run.send_signal(sent_signal)
    _, stderr = run.communicate(timeout=30)
    if sent_signal == signal.SIGKILL:
        assert run.returncode == -signal.SIGKILL
        with journal.open("a", encoding="utf-8") as file:
            file.write('{"label": "bird 11", "sen')  # an incomplete line of a killed process
        kept = journal.read_text(encoding="utf-8").count("\n") - 1
    else:
        assert run.returncode == 130
        assert b"run the same command again to continue" in stderr
        assert b"Traceback" not in stderr
        kept = len(read_json(out.read_text(encoding="utf-8")).entries)
    before = llm.num_calls
    assert before - kept <= 2  # at most the calls in flight are repeated
    llm.script = respond_correctly
    assert main(arguments) == 0
    assert llm.num_calls - before == 12 - kept
    described = read_json(out.read_text(encoding="utf-8")).entries
    assert [entry.label for entry in described] == [f"bird {i}" for i in range(12)]
    assert all(entry.sentence == f"The {entry.label} is round and red." for entry in described)
    assert not journal.exists()


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "no labels file": ({"labels": "missing.txt"}, "missing.txt: No such file"),
    "empty labels": ({"text": ""}, "has no labels"),
    "blank label": ({"text": "a\n\u200d\nb\n"}, 'labels.txt: line 2: label "\u200d" is blank'),
    "ids": ({"text": "n01440764\nn01443537\n"}, "labels.txt: every label is a WordNet id"),
    "duplicate": ({"text": "a\nb\na\n"}, 'line 3: label "a" is also on line 1; give each a sense'),
    "not UTF-8": ({"bytes": b"caf\xe9\nna\xc3\xafve\n"}, "line 1: is not UTF-8 (byte 3)"),
    "not a set": ({"set": "[]"}, "set.json: line 1:"),
    "another domain": ({"set": "".join(write_json([], domain="fish"))}, "with domain 'fish', not 'birds'"),
    "another model": ({"set": "".join(write_json([], model="n"))}, "with model 'n', not 'm'"),
    "a damaged journal": ({"part": '{"domain": "birds", "strategy": "describe@1", "model": "m"}\n[]\n'}, "is damaged"),
    "invalid domain": (
        {"args": ["--domain", "a\ue000"]},
        '--domain has a private-use character (U+E000) in "a<U+E000>"',
    ),
    "bad address": ({"args": ["--base-url", "ftp://x"]}, "--base-url: "),
    "an address without http://": (
        {"args": ["--base-url", "localhost:1234/v1"]},
        "--base-url: must be an http:// or https:// address such as http://localhost:1234/v1",
    ),
    "a CA file that is missing": ({"args": ["--ca-file", "/nowhere.pem"]}, "LIMBECK_LLM_CA_FILE: there is no file"),
    "a proxy of another kind": (
        {"environment": ("HTTP_PROXY", "socks://127.0.0.1:7890")},
        "HTTP_PROXY: a proxy of the kind socks:// is not supported, only http, https, socks5, socks5h; if it is "
        "one, write socks5://127.0.0.1:7890",
    ),
    "a proxy that is none": (
        {"environment": ("LIMBECK_LLM_PROXY", "http://")},
        "LIMBECK_LLM_PROXY: must be the address of a proxy",
    ),
    "bad number": ({"args": ["--concurrency", "many"]}, "--concurrency: "),
    "bad temperature": ({"args": ["--temperature", "9"]}, "--temperature: "),
    "no model": ({"args": ["--model", ""]}, "--model is missing"),
    "unknown strategy": ({"args": ["--strategy", "sing"]}, "strategy 'sing' is unknown; choose one of captions@1, "),
    "a strategy about pairs": ({"args": ["--strategy", "contrast"]}, "--strategy contrast@1 is about pairs; use"),
    "a strategy twice": ({"args": ["--strategy", "phrases", "--strategy", "phrases@1"]}, "is given twice"),
    "no strategy folder": ({"args": ["--strategies-dir", "/nowhere"]}, "folder /nowhere does not exist"),
    "no requests": ({"args": ["--rpm", "0"]}, "--rpm must be 1 or more"),
    "unknown option": ({"args": ["--sing"]}, "unrecognized arguments: --sing"),
    "a bad language": ({"args": ["--language", "de\nx"]}, "--language must be the name or the code of a language"),
    "no system prompt": ({"args": ["--system-prompt", "missing.txt"]}, "missing.txt: No such file"),
    "no folder": ({"args": ["--out", "/nowhere/set.json"]}, "the folder does not exist"),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_input_gives_one_line_and_exit_code_2(
    name: str,
    labels: Path,
    out: Path,
    llm: FakeLLM,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given, message = INVALID[name]
    if "environment" in given:
        monkeypatch.setenv(*given["environment"])
    if "text" in given or "bytes" in given:
        labels.write_bytes(given.get("bytes", given.get("text", "").encode()))
    if "set" in given:
        out.write_text(given["set"], encoding="utf-8")
    if "part" in given:
        out.with_name("set.json.part").write_text(given["part"], encoding="utf-8")
    before = sorted((path.name, path.read_bytes()) for path in labels.parent.iterdir())
    path = labels.with_name(given["labels"]) if "labels" in given else labels
    assert main(command(path, out, llm, *given.get("args", []))) == 2
    stderr = capsys.readouterr().err
    assert stderr.count("\n") == 1
    assert stderr.startswith("error: ")
    assert message in stderr
    assert llm.num_calls == 0
    assert sorted((path.name, path.read_bytes()) for path in labels.parent.iterdir()) == before


@pytest.mark.slow
def test_importing_the_package_loads_no_heavy_modules() -> None:
    code = (
        "import sys, attributes.types, attributes.formats.limbeck_json, attributes.flags\n"
        "import attributes.llm.requests, attributes.llm.client\n"
        "heavy = {'openai', 'httpx2', 'torch', 'sqlalchemy', 'fastapi'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
