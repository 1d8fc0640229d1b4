"""Downloads of files: interruption, resumption and verification."""

import hashlib
import json
from pathlib import Path

import pytest

from limbeck import BrokenDownload, Problem, Unreachable
from limbeck.client.downloads import manifest_files
from limbeck.client.synchronous.download import fetch_file
from limbeck.client.synchronous.http import Http
from limbeck.models import ManifestEntry
from tests.limbeck.helpers import manifest_entry
from tests.limbeck.scripted import Say, problem, scripted

CONTENT = bytes(range(256)) * 40


SHA = hashlib.sha256(CONTENT).hexdigest()


FILE = ManifestEntry(path="image/model.safetensors", sha256=SHA, size=len(CONTENT))


def fetched(script: list[Say], folder: Path, attempts: int = 4) -> tuple[Path, list[str | None]]:
    with scripted(script) as server:
        http = Http(server.url, sleep=lambda _: None, attempts=attempts)
        try:
            path = fetch_file(http, "/v1/checkpoints/ckp_1", FILE, folder)
        finally:
            http.close()
    for seen in server.seen:
        assert seen.path == "/v1/checkpoints/ckp_1/files/image/model.safetensors"
        assert ("range" in seen.headers) == ("if-range" in seen.headers)
        assert seen.headers.get("if-range", f'"{SHA}"') == f'"{SHA}"'
    return path, [seen.headers.get("range") for seen in server.seen]


def test_a_complete_file_is_not_downloaded_again(tmp_path: Path) -> None:
    path, ranges = fetched([Say(200, CONTENT)], tmp_path)
    assert path.read_bytes() == CONTENT
    assert ranges == [None]
    assert fetched([], tmp_path) == (path, [])


def test_an_interrupted_download_is_resumed(tmp_path: Path) -> None:
    script = [Say(200, CONTENT, cut_after=3000), Say(206, CONTENT[3000:], cut_after=100), Say(206, CONTENT[3100:])]
    path, ranges = fetched(script, tmp_path)
    assert path.read_bytes() == CONTENT
    assert ranges == [None, "bytes=3000-", "bytes=3100-"]
    assert [file.name for file in path.parent.iterdir()] == ["model.safetensors"]


def test_a_partial_file_of_an_earlier_process_is_resumed(tmp_path: Path) -> None:
    part = tmp_path / "image" / "model.safetensors.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT[:5000])
    path, ranges = fetched([Say(206, CONTENT[5000:])], tmp_path)
    assert path.read_bytes() == CONTENT
    assert ranges == ["bytes=5000-"]


def test_a_response_with_the_complete_file_replaces_the_partial_file(tmp_path: Path) -> None:
    path, _ = fetched([Say(200, CONTENT, cut_after=3000), Say(200, CONTENT)], tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_partial_file_of_another_file_is_discarded(tmp_path: Path) -> None:
    part = tmp_path / "image" / "model.safetensors.part"
    part.parent.mkdir()
    part.write_bytes(b"x" * 5000)
    path, ranges = fetched([Say(206, CONTENT[5000:]), Say(200, CONTENT)], tmp_path)
    assert path.read_bytes() == CONTENT
    assert ranges == ["bytes=5000-", None]


def test_wrong_bytes_are_rejected_and_removed(tmp_path: Path) -> None:
    wrong = Say(200, CONTENT[:-1] + b"!")
    with pytest.raises(BrokenDownload, match="wrong sha256"):
        fetched([wrong, wrong], tmp_path)
    assert not any((tmp_path / "image").iterdir())


def test_a_file_longer_than_its_manifest_entry_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BrokenDownload, match="longer"):
        fetched([Say(200, CONTENT + b"!")], tmp_path)


def test_a_file_shorter_than_its_manifest_entry_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(BrokenDownload, match="shorter"):
        fetched([Say(200, CONTENT[:-1])], tmp_path)


def test_attempts_without_new_bytes_are_limited_and_slow_progress_is_not(tmp_path: Path) -> None:
    with pytest.raises(Unreachable):
        fetched([Say(cut_after=0)] * 3, tmp_path, attempts=3)
    slow = [Say(200, CONTENT, cut_after=1000)]
    slow += [Say(206, CONTENT[n:], cut_after=1000) for n in range(1000, 9000, 1000)]
    path, _ = fetched([*slow, Say(206, CONTENT[9000:])], tmp_path, attempts=2)
    assert path.read_bytes() == CONTENT


def test_a_busy_service_is_retried_and_a_missing_file_is_not(tmp_path: Path) -> None:
    assert fetched([problem(503, "busy"), Say(200, CONTENT)], tmp_path)[0].read_bytes() == CONTENT
    with pytest.raises(Problem, match="file_not_found"):
        fetched([problem(404, "file_not_found")], tmp_path / "other")


@pytest.mark.parametrize("path", ["../evil", "/etc/passwd", "image/../../evil", "", "C:evil", "image\\evil"])
def test_a_manifest_cannot_name_a_path_outside_the_bundle(path: str) -> None:
    with pytest.raises(BrokenDownload, match="not a path inside"):
        manifest_files(json.dumps({"files": [manifest_entry(path, b"")]}).encode())


@pytest.mark.parametrize("manifest", [b"not json", b"{}", b'{"files": [{"path": "x"}]}', b"[]"])
def test_an_invalid_manifest_is_rejected(manifest: bytes) -> None:
    with pytest.raises(BrokenDownload, match="cannot be read"):
        manifest_files(manifest)
