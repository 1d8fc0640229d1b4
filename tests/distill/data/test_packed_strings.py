"""Packed strings: any string round-trips, in little memory."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
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


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3)), st.data())
def test_selections_order_and_repeats(names: list[str], data: st.DataObject) -> None:
    packed = PackedStrings(names)
    rows = data.draw(st.permutations(range(len(names))))
    view = packed.taken(rows)
    assert list(view) == [names[row] for row in rows]
    assert list(view.taken(range(0, len(rows), 2))) == [names[row] for row in rows][::2]
    assert [names[row] for row in packed.sorted_rows()] == sorted(names)
    assert [view[row] for row in view.sorted_rows()] == sorted(names)
    assert packed.repeated_rows() == [row for row, name in enumerate(names) if names.count(name) > 1]
    assert packed.has_repeats == view.has_repeats == (len(set(names)) < len(names))


def test_order_of_names_that_are_not_utf8() -> None:
    names = [b"\xff.jpg".decode("utf-8", "surrogateescape"), "\ue000.jpg", "z.jpg"]
    packed = PackedStrings(names)
    assert [names[row] for row in packed.sorted_rows()] == sorted(names)


def test_a_selection_does_not_grow() -> None:
    with pytest.raises(TypeError):
        PackedStrings(["a", "b"]).taken([1]).append("c")
