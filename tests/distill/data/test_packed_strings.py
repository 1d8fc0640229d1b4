"""Packed strings: any string round-trips, in little memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.data.packed_strings import PackedPaths, PackedStrings

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(NAMES)
def test_strings_round_trip(names: list[str]) -> None:
    packed = PackedStrings(names)
    assert list(packed) == names
    assert [packed[at] for at in range(len(names))] == names
    assert [packed[-at - 1] for at in range(len(names))] == names[::-1]
    assert list(packed[1::2]) == names[1::2]
    assert packed == PackedStrings(iter(names))
    assert packed != PackedStrings([*names, "x"])
    with pytest.raises(IndexError):
        packed[len(names)]


def test_file_name_that_is_not_utf8_round_trips() -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert list(PackedStrings(["a", name])) == ["a", name]


def test_paths_of_rows() -> None:
    files = PackedPaths(Path("/root"), PackedStrings(["a/0.jpg", "a/1.jpg", "b/2.jpg"]), [2, 0])
    assert list(files) == [Path("/root/b/2.jpg"), Path("/root/a/0.jpg")]
    assert list(files[1:]) == [Path("/root/a/0.jpg")]


@pytest.mark.slow
def test_indexing_images_needs_little_memory(tmp_path: Path) -> None:
    """Scan, split, save, load and count in a separate process: at most 2 KB per image."""
    code = """
import re, sys
from pathlib import Path
from distill.data import image_folders, image_index, splits
from distill.data.dataset.scan import scan
from distill.data.layouts import class_folders
def memory():  # peak; getrusage would include the parent process
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
LABELS = [f"bird number {at:04d}" for at in range(int(sys.argv[2]) // 100)]
root, before = Path(sys.argv[1]), memory()
class_folders.entries_of = lambda *_: image_folders.FolderEntries([root / label for label in LABELS])
name = "{0}/{0} photographed {1:06d}.jpg"
class_folders.files_below = lambda folder, *_: image_folders.FoundFiles(
    [name.format(folder.name, n) for n in range(100)]
)
index = scan(root, LABELS, splits.BySeed())
index.save(root / "manifest.jsonl")
loaded = image_index.ImageIndex.load(root / "manifest.jsonl")
assert len(loaded) == int(sys.argv[2]) and loaded.counts["train"] == 0.35 * len(loaded)
print((memory() - before) / len(loaded))
"""
    run = [sys.executable, "-c", code, str(tmp_path), "40000"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert 50 < float(done.stdout) < 2000
