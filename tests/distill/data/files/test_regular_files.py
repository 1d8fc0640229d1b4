"""Opening regular files only, and noticing every change of a file."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill.data.files.regular_files import open_regular, read_regular, version_of
from distill.data.image_store import load_image


def test_bytes_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    assert read_regular(tmp_path / "a.jpg") == b"abc"


@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "socket"])
@pytest.mark.image_input(
    "Files, folders and shards",
    "a file that becomes a FIFO, socket or device after the scan",
    "is left out as unreadable; opening it never waits",
)
def test_what_is_no_file_is_an_error_and_never_waits(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.jpg"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/null")
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    with pytest.raises(OSError, match=r"[Nn]ot a regular file|No such device"):
        open_regular(path)
    assert load_image(path).image is None


@pytest.mark.parametrize("way", ["in place", "by another file"])
@pytest.mark.usefixtures("old_files")
@pytest.mark.image_input(
    "Files, folders and shards",
    "an image swapped under the same name, size and modification time",
    "is noticed: cached digests count for one ctime and inode",
)
def test_a_swap_under_the_same_size_and_time_changes_the_version(tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    status, before = path.stat(), version_of(path)
    time.sleep(0.02)  # longer than a tick of the file system's clock
    if way == "in place":
        path.write_bytes(b"xyz")
    else:
        (tmp_path / "b.jpg").write_bytes(b"xyz")
        os.replace(tmp_path / "b.jpg", path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert version_of(path) not in (None, before)


def test_a_file_that_was_just_changed_or_is_missing_has_no_version(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"abc")
    os.utime(tmp_path / "a.jpg", (0, 0))
    assert version_of(tmp_path / "a.jpg") is None
    assert version_of(tmp_path / "b.jpg") is None


@pytest.mark.image_input(
    "Files, folders and shards",
    "a folder or file that becomes a link out of the data root after the registration",
    "is left out as unreadable by the GPU worker, which asks for the place of each file after it has opened it",
)
def test_a_confined_process_opens_no_file_outside_its_root(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / "crane").mkdir(parents=True)
    (outside / "secret.jpg").write_bytes(b"secret")
    (root / "crane" / "a.jpg").write_bytes(b"inside")
    (root / "alias").symlink_to(root / "crane")
    (root / "swapped").symlink_to(outside)
    (root / "swapped.jpg").symlink_to(outside / "secret.jpg")
    (tmp_path / "root-beside").mkdir()
    (tmp_path / "root-beside" / "b.jpg").write_bytes(b"beside")
    program = f"""
from pathlib import Path
from distill.data.files.regular_files import confine_to, read_regular

root = Path({str(root)!r})
confine_to(root)
for name in ("crane/a.jpg", "alias/a.jpg", "swapped/secret.jpg", "swapped.jpg", "../root-beside/b.jpg"):
    try:
        print(read_regular(root / name).decode())
    except OSError as error:
        print(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["inside", "inside", *["A link leads out of the data root"] * 3]
