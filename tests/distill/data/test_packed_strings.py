"""Many strings in little memory: they come back as they went in, whatever is in them."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.data.packed_strings import PackedPaths, PackedStrings

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs"])))


@given(NAMES)
def test_strings_come_back_as_they_went_in(names: list[str]) -> None:
    packed = PackedStrings(names)
    assert list(packed) == names
    assert [packed[at] for at in range(len(names))] == names
    assert [packed[-at - 1] for at in range(len(names))] == names[::-1]
    assert list(packed[1::2]) == names[1::2]
    assert packed == PackedStrings(iter(names))
    assert packed != PackedStrings([*names, "x"])
    with pytest.raises(IndexError):
        packed[len(names)]


def test_a_name_that_is_no_text_is_kept() -> None:
    odd = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert list(PackedStrings(["a", odd])) == ["a", odd]


def test_files_are_made_when_they_are_asked_for() -> None:
    files = PackedPaths(Path("/root"), PackedStrings(["a/0.jpg", "a/1.jpg", "b/2.jpg"]), [2, 0])
    assert list(files) == [Path("/root/b/2.jpg"), Path("/root/a/0.jpg")]
    assert list(files[1:]) == [Path("/root/a/0.jpg")]


def test_images_are_registered_in_little_memory(tmp_path: Path) -> None:
    """Listed as a scan lists them, split, saved, loaded and counted, in a process of its own; 2 KB an image at most."""
    code = """
import re, sys
from pathlib import Path
from distill.data import image_folders, image_index as scanning, splits
def memory():  # the most there was; getrusage would tell of the process that started this one
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
LABELS = [f"bird number {at:04d}" for at in range(int(sys.argv[2]) // 100)]
root, begun = Path(sys.argv[1]), memory()
image_folders.class_folders = lambda below: [root / label for label in LABELS]
name = "{0}/{0} photographed {1:06d}.jpg"
image_folders.images_below = lambda folder, root: [name.format(folder.name, n) for n in range(100)]
image_index = scanning.scan(root, LABELS, splits.BySeed())
image_index.save(root / "manifest.jsonl")
loaded = scanning.ImageIndex.load(root / "manifest.jsonl")
assert len(loaded) == int(sys.argv[2]) and loaded.counts["train"] == 0.35 * len(loaded)
print((memory() - begun) / len(loaded))
"""
    run = [sys.executable, "-c", code, str(tmp_path), "40000"]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert 50 < float(done.stdout) < 2000
