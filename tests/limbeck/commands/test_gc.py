"""`limbeck gc`: what it says and removes, with and without `--dry-run`."""

import json
import os
import time
from pathlib import Path

import pytest

from limbeck.cli import main
from store.artefacts import Artefacts
from store.db import Database
from store.idempotency import StoredResponse, reserve, save_response
from store.migrate import upgrade
from store.models import IdempotencyRecord
from tests.api.published import publish
from tests.limbeck.helpers import failed

pytestmark = pytest.mark.usefixtures("home")

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """The home of a service with a checkpoint, an expired response, and a file of a dead attempt, which is returned."""
    home = tmp_path / "home"
    db, artefacts = Database(f"sqlite:///{home}/limbeck.db"), Artefacts(str(home / "artefacts"))
    upgrade(db)
    publish(db, artefacts)
    artefacts.put_bytes(b"x" * 1500, "parts/p/dead/student.safetensors")
    with db.write() as tx:
        reserve(tx, principal="local", key="k", request_sha256="d")
        save_response(tx, principal="local", key="k", response=StoredResponse(201, {}, "x" * 500))
        tx.get_one(IdempotencyRecord, ("local", "k")).created_at = time.time() - 24 * 3600.0 - 60
    db.dispose()
    lost = home / "artefacts" / "parts" / "p" / "dead" / "student.safetensors"
    os.utime(lost, (0, 0))
    return lost


def test_a_dry_run_lists_and_removes_nothing(lost: Path, capsys: Capture) -> None:
    assert main(["gc", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "kind                                   number    size",
        "files of dead attempts, duplicates          1  1.5 kB",
        "stored responses to repeated requests       1   500 B",
        "2.0 kB would be removed; nothing was",
    ]
    assert lost.exists()


def test_gc_removes_what_the_dry_run_lists(lost: Path, capsys: Capture) -> None:
    assert main(["gc", "--json"]) == 0
    removed = json.loads(capsys.readouterr().out)
    assert removed["bytes"] == 2000
    assert [kind["number"] for kind in removed["kinds"]] == [1, 1]
    assert not lost.parent.exists()
    assert (lost.parents[1] / "t" / "text_targets.safetensors").exists()
    assert main(["gc"]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"


def test_the_cache_is_cleaned_by_size(lost: Path, tmp_path: Path, capsys: Capture) -> None:
    shard = tmp_path / "home" / "cache" / "image" / "shard.safetensors"
    shard.parent.mkdir(parents=True)
    shard.write_bytes(b"x" * 3000)
    os.utime(shard, (0, 0))
    assert main(["gc", "--cache-bytes", "4KB"]) == 0
    assert shard.exists()
    assert main(["gc", "--cache-bytes", "2.5kB"]) == 0
    assert "cached results       1  3.0 kB" in capsys.readouterr().out
    assert not shard.exists()


def test_a_new_database_removes_nothing(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "home" / "artefacts" / "parts" / "p" / "t" / "weights"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    os.utime(file, (0, 0))
    code, line = failed(["gc"], capsys)
    assert (code, file.exists()) == (1, True)
    assert "no tables" in line
    assert main(["db", "upgrade"]) == 0
    capsys.readouterr()
    code, line = failed(["gc"], capsys)
    assert (code, file.exists()) == (1, True)
    assert "this database knows none" in line


def test_invalid_quantities(capsys: Capture) -> None:
    assert failed(["gc", "--older-than", "soon"], capsys)[0] == 2
    assert failed(["gc", "--cache-bytes", "much"], capsys)[0] == 2


def test_an_unknown_artefact_store_is_invalid_input(
    lost: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMBECK_ARTEFACTS_URL", "tape://archive")
    code, line = failed(["gc"], capsys)
    assert code == 2
    assert "LIMBECK_ARTEFACTS_URL cannot be used" in line
