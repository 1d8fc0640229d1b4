"""The checks of a service at a URL, and the output and exit code of `limbeck doctor`."""

import json
from pathlib import Path

import pytest

from api.app import create_app
from limbeck.cli import main
from limbeck.client.environment import unknown_client_settings
from limbeck.doctor import machine
from limbeck.doctor.diagnosis import Diagnosis
from limbeck.doctor.service import check_service
from store.db import Database
from store.jobs import heartbeats
from store.settings import setting_names
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.limbeck.helpers import page
from tests.limbeck.scripted import Say, problem, scripted

pytestmark = pytest.mark.usefixtures("home")

Capture = pytest.CaptureFixture[str]


def found(url: str) -> dict[str, Diagnosis]:
    return {one.name: one for one in check_service(url)}


def test_a_service_that_runs_without_workers(
    sqlite_db: Database, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_LOCKS", tmp_path)
    with sqlite_db.write() as tx:
        heartbeats.record(tx, name="host:sweeper", role="sweeper")
    with served(create_app(settings_at(tmp_path / "home"), sqlite_db)) as url:
        checks = found(url)
        assert main(["doctor", "--url", url, "--json"]) == 1
        shown = json.loads(capsys.readouterr().out)
        assert main(["doctor", "--url", url]) == 1
        text = capsys.readouterr().out
    failed = [name for name, one in checks.items() if one.status == "failed"]
    assert failed == ["enrich workers", "gpu workers"]
    assert checks["version"].detail.startswith("client and service")
    assert checks["key"].detail == "none needed from this machine"
    assert shown["ok"] is False
    assert [one["name"] for one in shown["checks"]] == ["versions", "settings", *checks]
    assert "-> start a worker of the queue gpu" in text
    assert text.splitlines()[-1] == "8 ok, 0 warnings, 2 failed"


def test_a_service_that_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = problem(401, "unauthorized", "send a key")
    with scripted([Say(200, {"status": "ok"}), refused]) as server:
        key = found(server.url)["key"]
    assert (key.status, key.detail) == ("failed", "the service needs a key")
    monkeypatch.setenv("LIMBECK_KEY", "lbk_hunter2")
    with scripted([Say(200, {"status": "ok"}), refused]) as server:
        key = found(server.url)["key"]
        assert server.seen[1].headers["authorization"] == "Bearer lbk_hunter2"
    assert (key.status, key.detail) == ("failed", "the key is unknown, expired or revoked")
    assert "hunter2" not in str(key)


def test_another_version_and_another_clock() -> None:
    headers = {"Limbeck-Version": "9.9", "Date": "Mon, 01 Jan 2001 00:00:00 GMT"}
    with scripted([Say(200, {"status": "ok"}, headers), Say(200, {"data": []}), Say(200, {"checks": {}})]) as server:
        checks = found(server.url)
    assert (checks["version"].status, checks["version"].remedy) == ("warning", "install the client of version 9.9")


def test_no_service_at_the_url() -> None:
    with scripted([Say(404)]) as server:
        assert "it is no Limbeck service" in found(server.url)["service"].detail
    assert "does not respond" in found(server.url)["service"].detail
    assert found("localhost:8420")["service"].remedy == "correct --url or LIMBECK_URL"


def test_only_names_near_the_settings_of_the_client_are_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unknown_client_settings(dict.fromkeys([*setting_names(), "LIMBECK_URL", "LIMBECK_KEY"], "x")) == []
    assert unknown_client_settings({"LIMBECK_URI": "x", "LIMBECK_API_KEY": "x"}) == [
        "LIMBECK_API_KEY: unknown setting; did you mean LIMBECK_KEY?",
        "LIMBECK_URI: unknown setting; did you mean LIMBECK_URL?",
    ]
    monkeypatch.setenv("LIMBECK_URI", "x")
    with scripted([Say(200, page())]) as server:
        assert main(["jobs", "--url", server.url]) == 0
    assert capsys.readouterr().err == "limbeck: LIMBECK_URI: unknown setting; did you mean LIMBECK_URL?\n"


def test_the_checks_of_this_machine(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_GPU_CODE", 'print(\'{"torch": "2", "cuda": null, "gpus": []}\')')
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert main(["doctor", "--json"]) == 0
    names = [one["name"] for one in json.loads(capsys.readouterr().out)["checks"]]
    expected = ["versions", "settings", "database", "queue", "llm", "home", "data root", "artefacts", "cache", "gpu"]
    assert names == [*expected, "teachers"]
    assert not (tmp_path / "home").exists()
    monkeypatch.setenv("LIMBECK_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/d")
    assert main(["doctor"]) == 1
    printed = capsys.readouterr()
    assert "hunter2" not in printed.out + printed.err
    assert printed.out.splitlines()[-1].endswith("1 failed")
