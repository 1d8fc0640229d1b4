"""The nouns of the command against a running service: lists, JSON, and files that are never overwritten."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import create_app
from limbeck.cli import main
from store.db import Database
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.api.published import publish
from tests.limbeck.helpers import failed

pytestmark = pytest.mark.usefixtures("home", "service")

Capture = pytest.CaptureFixture[str]
IDS = ("voc_1", "dst_1", "ckp_1")


@pytest.fixture
def service(sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A service with a checkpoint; yields the id of its text targets."""
    settings = settings_at(tmp_path / "home")
    app = create_app(settings, sqlite_db)
    text_targets = publish(sqlite_db, app.state.services.artefacts)
    with sqlite_db.write() as tx:
        from store.models import Dataset

        tx.get_one(Dataset, "dst_1").counts = {
            name: 10 for name in ("train", "held_out", "ood", "id_labels", "ood_labels")
        }
    with served(app) as url:
        monkeypatch.setenv("LIMBECK_URL", url)
        yield text_targets


def shown(capsys: Capture, *arguments: str) -> str:
    """The output of a command that succeeds and prints nothing on stderr but the service's log."""
    assert main(list(arguments)) == 0
    printed = capsys.readouterr()
    assert [line for line in printed.err.splitlines() if not line.startswith("{")] == []
    return printed.out


@pytest.mark.parametrize(
    ("noun", "columns"),
    [
        ("vocab", ["id", "labels", "created", "domain", "name"]),
        ("dataset", ["id", "images", "warnings", "created", "name"]),
        ("attributes", ["id", "described", "flagged", "created", "source"]),
        ("checkpoints", ["id", "seen", "unseen", "created", "text", "student"]),
        ("texts", ["id", "labels", "width", "size", "created", "text"]),
        ("teachers", ["id", "width", "context", "first", "loaded", "reference"]),
    ],
)
def test_every_noun_lists_and_shows_and_speaks_json(noun: str, columns: list[str], capsys: Capture) -> None:
    header, row = shown(capsys, noun, "list").splitlines()
    assert header.split() == columns
    (listed,) = json.loads(shown(capsys, noun, "list", "--json"))
    assert row.split()[0] == listed["id"]
    assert listed["created_at"].endswith("Z")
    if noun != "attributes":
        assert listed["id"] in shown(capsys, noun, "show", listed["id"])
        assert json.loads(shown(capsys, noun, "show", listed["id"], "--json"))["id"] == listed["id"]


def test_an_empty_list_says_how_to_fill_it(capsys: Capture) -> None:
    assert shown(capsys, "captions", "list") == "no captions yet: an enrich job of a dataset writes them\n"
    assert shown(capsys, "captions", "list", "--json") == "[]\n"


def test_a_list_says_when_there_is_more(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "birds.txt").write_text("crane\nheron\n")
    created = json.loads(shown_json(capsys, "vocab", "create", str(tmp_path / "birds.txt"), "--name", "two birds"))
    assert main(["vocab", "list", "--limit", "1"]) == 0
    printed = capsys.readouterr()
    assert "voc_1" in printed.out
    assert "there are more; --limit 5 shows more of them" in printed.err
    assert shown(capsys, "vocab", "labels", created["id"]) == "crane\nheron\n"
    assert [one["name"] for one in json.loads(shown(capsys, "vocab", "labels", created["id"], "--json"))] == [
        "crane",
        "heron",
    ]


def shown_json(capsys: Capture, *arguments: str) -> str:
    """The JSON of a command that also reports on stderr."""
    assert main([*arguments, "--json"]) == 0
    return capsys.readouterr().out


def test_the_files_of_a_bundle(capsys: Capture) -> None:
    header, *rows = shown(capsys, "checkpoints", "files", "ckp_1").splitlines()
    assert header.split() == ["path", "size", "sha256"]
    assert [row.split()[:3] for row in rows][1] == ["image/model.safetensors", "3.2", "MB"]
    (parts,) = [line for line in shown(capsys, "checkpoints", "show", "ckp_1").splitlines() if line.startswith("parts")]
    assert parts.split(maxsplit=1)[1] == "image 3.2 MB, other files 12 B, targets 2 B"


def test_a_student_of_images_with_several_labels_has_its_map(sqlite_db: Database, capsys: Capture) -> None:
    from store.models import Checkpoint, Job

    figures = {"mean_ap": 0.4, "num_labels": 3, "num_images": 20, "chance": 0.1}
    evaluation = {"id": None, "ood": None, "multi_label": {"id": figures, "ood": None}}
    with sqlite_db.write() as tx:
        row = tx.get_one(Checkpoint, "ckp_1")
        row.evaluation = evaluation
        tx.get_one(Job, row.job_id).result = {"evaluation": evaluation}
        job_id = row.job_id
    fields = " ".join(shown(capsys, "checkpoints", "show", "ckp_1").split())
    assert "seen labels 40.0% mAP, 3 labels unseen labels not measured" in fields
    assert "40.0% mAP" in shown(capsys, "checkpoints", "list")
    assert "40.0% mAP of 20 images, 3 labels" in shown(capsys, "jobs", "show", job_id)


def test_text_targets_are_downloaded_once(service: str, capsys: Capture, tmp_path: Path) -> None:
    out = tmp_path / "new" / "texts.safetensors"
    assert shown(capsys, "texts", "download", service, "--out", str(out)) == f"3.2 MB in {out}\n"
    assert out.stat().st_size == 3 * 2**20 + 12_345
    assert "is complete" in shown(capsys, "texts", "download", service, "--out", str(out))
    out.write_bytes(b"mine")
    assert main(["texts", "download", service, "--out", str(out)]) == 2
    assert "the file exists and has other content" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert [path.name for path in out.parent.iterdir()] == ["texts.safetensors"]


def test_an_unknown_id_is_one_line(capsys: Capture) -> None:
    assert main(["checkpoints", "show", "ckp_none"]) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]
    assert errors == ["limbeck: checkpoint_not_found: no checkpoint 'ckp_none'"]


def test_the_names_of_parts_are_checked_before_the_service_is_asked(capsys: Capture, tmp_path: Path) -> None:
    code, line = failed(["download", "ckp_1", "--out", str(tmp_path / "x"), "--parts", "onyx"], capsys)
    assert (code, (tmp_path / "x").exists()) == (2, False)
    assert "unknown part onyx; choose image, pairing, onnx, targets, or all" in line


def test_storage_shows_files_and_bytes_by_kind(capsys: Capture) -> None:
    header, *rows, total, counted = shown(capsys, "storage").splitlines()
    assert header.split() == ["kind", "files", "size"]
    assert {row.split()[0]: row.split()[1] for row in rows}.items() >= {"students": "3", "text_targets": "1"}.items()
    found = json.loads(shown(capsys, "storage", "--json"))
    sizes = {one["kind"]: one["bytes"] for one in found["kinds"]}
    assert [row.split()[0] for row in rows] == sorted(sizes, key=lambda kind: -sizes[kind])
    assert found["bytes"] == sum(sizes.values()) > 0
    assert int(total.split()[1]) == sum(one["files"] for one in found["kinds"])
    assert counted.startswith("counted at ")
