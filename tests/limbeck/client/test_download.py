"""Downloads of bundles: interruption, resumption, verification, and folders that hold other files."""

import errno
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from limbeck import BrokenDownload, Client, DiskFull, FilesInTheWay, Problem, Unreachable
from limbeck.client.downloads import FolderLock, manifest_files
from limbeck.models import ManifestEntry
from limbeck.shared.bundle.files import MANIFEST_FORMAT, verify_files
from tests.limbeck.helpers import bundle_script, manifest_entry
from tests.limbeck.scripted import Say, problem, scripted

NAME = "image/model.safetensors"
CONTENT = bytes(range(256)) * 40
SHA = hashlib.sha256(CONTENT).hexdigest()
PART = f"{NAME}.{SHA[:12]}.part"
BEFORE, _ = bundle_script({NAME: CONTENT})


def fetched(script: list[Say], folder: Path, attempts: int = 4, **options: Any) -> list[str | None]:
    """Download a bundle with one file, whose responses are the script; the range of each request for it."""
    with scripted([*BEFORE, *script]) as server:
        with Client(server.url, sleep=lambda _: None, attempts=attempts) as client:
            client.checkpoints.download("ckp_1", folder, ["image"], **options)
        seen = server.seen[len(BEFORE) :]
    assert (folder / NAME).read_bytes() == CONTENT
    assert verify_files(folder)
    for one in seen:
        assert one.path == f"/v1/checkpoints/ckp_1/files/{NAME}"
        assert one.headers.get("if-range") == (f'"{SHA}"' if "range" in one.headers else None)
    return [one.headers.get("range") for one in seen]


def part_of(folder: Path, content: bytes) -> Path:
    path = folder / PART
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_complete_file_is_not_downloaded_again(tmp_path: Path) -> None:
    assert fetched([Say(200, CONTENT)], tmp_path) == [None]
    assert fetched([], tmp_path) == []


def test_an_interrupted_download_is_resumed(tmp_path: Path) -> None:
    script = [Say(200, CONTENT, cut_after=3000), Say(206, CONTENT[3000:], cut_after=100), Say(206, CONTENT[3100:])]
    assert fetched(script, tmp_path) == [None, "bytes=3000-", "bytes=3100-"]


def test_a_partial_file_of_an_earlier_process_is_resumed(tmp_path: Path) -> None:
    part_of(tmp_path, CONTENT[:5000])
    assert fetched([Say(206, CONTENT[5000:])], tmp_path) == ["bytes=5000-"]


def test_a_response_with_the_complete_file_replaces_the_partial_file(tmp_path: Path) -> None:
    fetched([Say(200, CONTENT, cut_after=3000), Say(200, CONTENT)], tmp_path)


@pytest.mark.parametrize(("length", "ranges"), [(5000, ["bytes=5000-", None]), (len(CONTENT) + 1, [None])])
def test_a_partial_file_with_wrong_bytes_is_discarded(tmp_path: Path, length: int, ranges: list[str | None]) -> None:
    part_of(tmp_path, b"x" * length)
    script = [*([Say(206, CONTENT[5000:])] if length == 5000 else []), Say(200, CONTENT)]
    assert fetched(script, tmp_path) == ranges


def test_the_partial_file_of_another_checkpoint_is_neither_used_nor_left(tmp_path: Path) -> None:
    other = part_of(tmp_path, b"").with_name("model.safetensors.0123456789ab.part")
    other.write_bytes(CONTENT[:10])
    mine = other.with_name("model.safetensors.my.part")
    mine.write_bytes(b"mine")
    with pytest.raises(Unreachable):
        fetched([Say(cut_after=0)] * 4, tmp_path)
    assert other.exists()
    with pytest.raises(ValueError, match="my.part is not in the manifest"):
        fetched([Say(200, CONTENT)], tmp_path)
    assert names(tmp_path) == [NAME, f"{NAME}.my.part", "manifest.json"]


def test_wrong_bytes_are_rejected_and_removed(tmp_path: Path) -> None:
    wrong = Say(200, CONTENT[:-1] + b"!")
    with pytest.raises(BrokenDownload, match="wrong sha256"):
        fetched([wrong, wrong], tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("content", "message"), [(CONTENT + b"!", "longer"), (CONTENT[:-1], "shorter")])
def test_a_file_of_another_size_than_its_manifest_entry_is_rejected(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(BrokenDownload, match=message):
        fetched([Say(200, content)], tmp_path)
    assert names(tmp_path) == []


def test_attempts_without_new_bytes_are_limited_and_slow_progress_is_not(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        fetched([Say(cut_after=0)] * 3, tmp_path, attempts=3)
    slow = [Say(200, CONTENT, cut_after=1000)]
    slow += [Say(206, CONTENT[n:], cut_after=1000) for n in range(1000, 9000, 1000)]
    fetched([*slow, Say(206, CONTENT[9000:])], tmp_path, attempts=2)


def test_a_busy_service_is_retried_and_a_missing_file_is_not(tmp_path: Path) -> None:
    fetched([problem(503, "busy"), Say(200, CONTENT)], tmp_path)
    with pytest.raises(Problem, match="file_not_found"):
        fetched([problem(404, "file_not_found")], tmp_path / "other")


def test_a_folder_without_manifest_is_incomplete_after_an_interruption(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        fetched([Say(200, CONTENT, cut_after=3000), *[Say(cut_after=0)] * 3], tmp_path, attempts=2)
    assert names(tmp_path) == [PART]
    assert fetched([Say(206, CONTENT[3000:])], tmp_path) == ["bytes=3000-"]


@pytest.mark.parametrize(
    ("present", "message"),
    [
        (NAME, "other content than in checkpoint ckp_1"),
        ("image", "other content than in checkpoint ckp_1"),
        ("manifest.json", "the folder holds another checkpoint than ckp_1"),
    ],
)
def test_a_file_that_the_download_did_not_write_is_not_replaced(tmp_path: Path, present: str, message: str) -> None:
    (tmp_path / present).parent.mkdir(exist_ok=True)
    (tmp_path / present).write_bytes(b"mine")
    with pytest.raises(FilesInTheWay, match=message) as caught:
        fetched([Say(200, CONTENT)], tmp_path)
    assert caught.value.paths == (tmp_path / present,)
    assert str(caught.value).startswith(f"{tmp_path / present}: ")
    assert (tmp_path / present).read_bytes() == b"mine"
    assert names(tmp_path) == [present]


def test_a_file_with_the_name_of_the_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "student").write_bytes(b"mine")
    for folder in (tmp_path / "student", tmp_path / "student" / "below"):
        with pytest.raises(FilesInTheWay, match="not a folder"):
            fetched([], folder)
    assert (tmp_path / "student").read_bytes() == b"mine"


def test_a_download_that_does_not_fit_is_refused_before_the_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5239))
    part_of(tmp_path, CONTENT[:5000])  # 5240 bytes are missing
    with pytest.raises(DiskFull, match=r"needs 0\.0 MB, and the disk has 0\.0 MB left"):
        fetched([], tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=5240))
    fetched([Say(206, CONTENT[5000:])], tmp_path)


def test_a_full_disk_keeps_what_has_arrived(tmp_path: Path) -> None:
    def fill(path: str, done: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFull, match="No space left on device; what has arrived is kept"):
        fetched([Say(200, CONTENT)], tmp_path, on_progress=fill)
    assert names(tmp_path) == [PART]


def test_downloads_to_one_folder_take_turns(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert lock.acquire()
    waited: list[float] = []

    def release(seconds: float) -> None:
        waited.append(seconds)
        assert len(server.seen) == len(BEFORE)  # no file is requested before the lock is free
        if len(waited) == 2:
            lock.close()

    with scripted([*BEFORE, Say(200, CONTENT)]) as server, Client(server.url, sleep=release) as client:
        client.checkpoints.download("ckp_1", tmp_path, ["image"])
    assert len(waited) == 2
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_manifest_with_a_wrong_digest_is_rejected(tmp_path: Path) -> None:
    with (
        scripted([BEFORE[0], Say(200, b"{}")]) as server,
        Client(server.url) as client,
        pytest.raises(BrokenDownload, match=r"manifest\.json has a wrong sha256"),
    ):
        client.checkpoints.download("ckp_1", tmp_path, ["image"])
    assert names(tmp_path) == []


@pytest.mark.parametrize("path", ["../evil", "/etc/passwd", "image/../../evil", "", "C:evil", "image\\evil"])
def test_a_manifest_cannot_name_a_path_outside_the_bundle(path: str) -> None:
    manifest = {"format": MANIFEST_FORMAT, "files": [manifest_entry(path, b"")]}
    with pytest.raises(BrokenDownload, match="outside the bundle"):
        manifest_files(json.dumps(manifest).encode())


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"not json", "cannot be read"),
        (b"{}", "cannot be read"),
        (b"[]", "cannot be read"),
        (json.dumps({"format": MANIFEST_FORMAT, "files": [{"path": "x"}]}).encode(), "cannot be read"),
        (json.dumps({"format": MANIFEST_FORMAT, "files": [manifest_entry("x", b"")] * 2}).encode(), "a file twice"),
        (json.dumps({"format": "limbeck bundle 2", "files": []}).encode(), "of a newer release"),
    ],
)
def test_an_invalid_manifest_is_rejected(manifest: bytes, message: str) -> None:
    with pytest.raises(BrokenDownload, match=message):
        manifest_files(manifest)


def test_the_entries_of_a_manifest_are_its_files() -> None:
    entry = manifest_entry(NAME, CONTENT)
    manifest = {"format": MANIFEST_FORMAT, "files": [entry]}
    assert manifest_files(json.dumps(manifest).encode()) == [ManifestEntry(**entry)]
