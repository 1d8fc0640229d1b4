"""Uploads by the client and the command: a folder and an archive, with a restart of the service in between."""

import zipfile
from pathlib import Path

import pytest
from fastapi import FastAPI

from api.app import create_app
from limbeck import Client
from limbeck.cli import main
from limbeck.client import upload_files
from limbeck.client.upload_files import local_files
from store.db import Database
from tests.api.conftest import settings_at
from tests.api.live import served
from tests.images import tiny_image


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    """Three folders with four images each, a hidden file, and a link that leads elsewhere."""
    folder = tmp_path / "birds"
    for label in ("crane", "heron", "ibis"):
        (folder / label).mkdir(parents=True)
        for number in range(4):
            (folder / label / f"{number}.png").write_bytes(tiny_image(f"{label} {number}"))
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "crane" / "link.png").symlink_to("/etc/hostname")
    return folder


def _app(db: Database, tmp_path: Path) -> FastAPI:
    return create_app(settings_at(tmp_path / "home", upload_root=tmp_path / "uploads"), db)


@pytest.mark.slow
def test_an_upload_goes_on_after_a_restart_of_the_service(
    sqlite_db: Database, tmp_path: Path, birds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limbeck.client.synchronous.datasets.CHUNK_BYTES", 100)
    files = local_files(birds)
    assert (len(files.files), files.num_skipped) == (12, 2)
    with served(_app(sqlite_db, tmp_path)) as url, Client(url) as client:
        begun = client.uploads._http.request("POST", "/v1/uploads", json=files.body()).json()
        assert client.uploads.append(begun["id"], files.read(0, 250), 0) == 250
    # A new process would know no more than the database and the disk.
    with served(_app(sqlite_db, tmp_path)) as url, Client(url) as client:
        sent: list[int] = []
        upload = client.uploads.upload(birds, on_sent=lambda done, _: sent.append(done))
        assert (upload.id, upload.status) == (begun["id"], "complete")
        assert sent == [*range(250, files.size, 100), files.size]
        stored = tmp_path / "uploads" / upload.id / "files"
        assert {path.relative_to(stored) for path in stored.rglob("*.png")} == {Path(one.path) for one in files.files}
        assert all((stored / one.path).read_bytes() == one.file.read_bytes() for one in files.files)
        vocabulary = client.vocabularies.create("birds", ["crane", "heron", "ibis"])
        dataset = client.datasets.create(vocabulary.id, upload_id=upload.id, split={"by": "seed"})
        assert (dataset.name, dataset.upload_id) == ("birds", upload.id)
        assert [one.id for one in client.uploads.list(status="complete")] == [upload.id]
        assert client.uploads.delete(upload.id, force=True).counts == {"upload": 1, "dataset": 1}


@pytest.mark.slow
def test_the_command_sends_an_archive_and_a_dataset_names_it(
    sqlite_db: Database, tmp_path: Path, birds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "birds.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in birds.rglob("*.png"):
            if not path.is_symlink():
                out.write(path, path.relative_to(tmp_path))
    with served(_app(sqlite_db, tmp_path)) as url, Client(url) as client:
        assert main(["upload", str(archive), "--url", url]) == 0
        printed = capsys.readouterr().out
        (upload,) = client.uploads.list()
        assert f"upload {upload.id}: 12 files" in printed
        assert upload.path == "birds"
        vocabulary = client.vocabularies.create("birds", ["crane", "heron", "ibis"])
        for place in (upload.id, f"{upload.id}/birds"):
            assert main(["dataset", "create", vocabulary.id, place, "--split", "all", "--url", url]) == 0
            assert "12 training images of 3 labels" in capsys.readouterr().out
        assert main(["uploads", "rm", upload.id, "--url", url]) == 1
        assert "in use" in capsys.readouterr().err
        (tmp_path / "birds.txt").write_text("crane")
        assert main(["upload", str(tmp_path / "birds.txt"), "--url", url]) == 2
        assert "neither a folder nor an archive" in capsys.readouterr().err


def test_a_file_that_changes_while_it_is_sent_is_noticed(birds: Path) -> None:
    files = local_files(birds)
    first = files.files[0].file
    first.write_bytes(first.read_bytes() + b"x")
    with pytest.raises(ValueError, match="was changed"):
        files.read(0, files.size)
    first.write_bytes(b"")
    with pytest.raises(ValueError, match="was changed"):
        files.read(0, 10)


def test_the_digest_grows_with_new_bytes_only(birds: Path) -> None:
    files = local_files(birds)
    data = files.read(0, files.size)
    files.add(0, data[:100])
    files.add(50, data[50:200])
    files.add(0, data[:150])
    files.add(500, data[500:600])
    files.hash_to(files.size)
    assert files.digest.digest() == upload_files.hashlib.sha256(data).digest()


@pytest.mark.parametrize("name", ["empty", "notes.txt", "nothing"])
def test_what_cannot_be_uploaded(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match=name):
        local_files(tmp_path / name)
