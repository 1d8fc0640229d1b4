"""The artefact store: what is written is read again, and no key leaves the store. In a local folder and in memory."""

import hashlib
import uuid
from pathlib import Path

import pytest

from store.artefacts import Artefacts

CONTENT = bytes(range(256)) * 8_000  # more than one block of 1 MiB


@pytest.fixture(params=["file", "memory"])
def artefacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artefacts:
    return Artefacts(str(tmp_path / "store") if request.param == "file" else f"memory://{uuid.uuid4().hex}")


def test_a_stored_file_is_read_again_with_its_digest(artefacts: Artefacts, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    stored = artefacts.put_file(tmp_path / "source", "jobs/a/weights")
    assert (stored.key, stored.size) == ("jobs/a/weights", len(CONTENT))
    assert stored.sha256 == hashlib.sha256(CONTENT).hexdigest()
    with artefacts.open(stored.key) as file:
        assert file.read() == CONTENT
    artefacts.get_file(stored.key, tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == CONTENT


def test_files_below_a_prefix_are_deleted_and_no_others(artefacts: Artefacts) -> None:
    for key in ("jobs/a/1", "jobs/a/b/2", "jobs/ab/3"):
        artefacts.put_bytes(key.encode(), key)
    artefacts.delete_below("jobs/a")
    artefacts.delete_below("jobs/missing")
    for key in ("jobs/a/1", "jobs/a/b/2"):
        with pytest.raises(FileNotFoundError):
            artefacts.open(key)
    with artefacts.open("jobs/ab/3") as file:
        assert file.read() == b"jobs/ab/3"


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../outside", "jobs/../../outside"])
def test_a_key_outside_the_store_is_refused(artefacts: Artefacts, key: str) -> None:
    with pytest.raises(ValueError, match="outside the store"):
        artefacts.put_bytes(b"", key)
    with pytest.raises(ValueError, match="outside the store"):
        artefacts.delete_below(key)


def test_only_a_local_store_has_local_paths(tmp_path: Path) -> None:
    assert Artefacts(str(tmp_path)).local_path("a/b") == tmp_path / "a" / "b"
    assert Artefacts("memory://store").local_path("a/b") is None
