"""Class folders: what is left out and reported, folders without images, names of any bytes, shards beside folders."""

import os
import socket
from pathlib import Path

import pytest

from distill.data.dataset.scan import ScannedDataset, scan_dataset
from distill.data.image_folders import FolderError
from distill.data.image_index import ImageIndex
from distill.data.image_source import ImageSource
from distill.data.layouts.class_folders import part_of_shard
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import create, create_ten

LABELS = ("crane", "red finch", "blue jay", "attributes", "lost+found", "café")
SECTION = "Files, folders and shards"


def scanned(
    root: Path,
    *exclude: str,
    folder_map: dict[str, str] | None = None,
    split: dict[str, object] | None = None,
    labels: tuple[str, ...] = LABELS,
) -> ScannedDataset:
    split = split or {"by": "seed", "id_fraction": 1}
    return scan_dataset(root, labels, SPLIT.validate_python(split), folder_map, ImageSource(exclude=exclude))


def error_of(root: Path, *exclude: str, folder_map: dict[str, str] | None = None) -> FolderError:
    with pytest.raises(FolderError) as caught:
        scanned(root, *exclude, folder_map=folder_map)
    return caught.value


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two class folders with ten images each."""
    return create_ten(tmp_path / "data", "crane", "red finch")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("@eaDir/crane/1.jpg", "created by a system or tool"),
        ("__MACOSX/crane/1.jpg", "created by a system or tool"),
        ("lost+found/1.txt", "created by a system or tool"),
        ("$RECYCLE.BIN/1.jpg", "created by a system or tool"),
        ("System Volume Information/1.jpg", "created by a system or tool"),
        ("#recycle/1.jpg", "created by a system or tool"),
        ("__pycache__/1.jpg", "created by a system or tool"),
        (".ipynb_checkpoints/1.jpg", "name begins with a dot"),
        (".Trash-1000/1.jpg", "name begins with a dot"),
        ("crane/@eaDir/1.jpg", "created by a system or tool"),
        ("crane/.ipynb_checkpoints/1.jpg", "name begins with a dot"),
        ("crane/._1.jpg", "name begins with a dot"),
        ("crane/Thumbs.db", "created by a system or tool"),
    ],
)
@pytest.mark.image_input(
    SECTION,
    "`@eaDir`, `__MACOSX`, `lost+found`, `.ipynb_checkpoints`, recycle bins, `._*`, `Thumbs.db`, at any depth",
    "left out, counted and named; a class folder that is called exactly like a label or is in folder_map is used",
)
def test_what_systems_and_tools_create_is_left_out_and_reported(root: Path, path: str, reason: str) -> None:
    create(root, path)
    found = scanned(root, labels=LABELS[:4])
    assert len(found.image_index) == 20
    assert found.listing.skipped.counts == {reason: 1}
    assert found.listing.report()[0].startswith(f"left out 1, {reason}: ")


@pytest.mark.parametrize("folder_map", [None, {"@eaDir": "blue jay", ".net": "café"}])
def test_a_label_or_the_folder_map_overrules_the_names_that_are_left_out(
    root: Path, folder_map: dict[str, str] | None
) -> None:
    create_ten(root, "lost+found", "@eaDir", ".net")
    found = scanned(root, folder_map=folder_map)
    used = {found.image_index.labels[label] for label in found.image_index.id_labels}
    assert used == {"crane", "red finch", "lost+found"} | ({"blue jay", "café"} if folder_map else set())
    assert sum(found.listing.skipped.counts.values()) == (0 if folder_map else 2)


@pytest.mark.image_input(
    SECTION,
    "a folder without images beside the class folders (CUB's `attributes/`)",
    "left out and named; if a label is called so, this label is noted and counts neither as seen nor as unseen",
)
def test_folders_without_images_are_reported(root: Path) -> None:
    create(root, "parts/a.txt", "blue jay/b.txt")
    (root / "attributes").mkdir()
    found = scanned(root)
    assert found.image_index.id_labels == (0, 1)
    assert found.listing.skipped.examples["folder without images"] == ["parts/"]
    (note,) = found.listing.notes
    assert note.startswith("2 labels have a folder without images")
    assert note.endswith("attributes, blue jay")


def test_all_folders_that_match_no_label_are_named_at_once(root: Path) -> None:
    create_ten(root, "parts", "segmentations")
    error = error_of(root)
    assert error.code == "folder_matches_no_label"
    assert all(f'"{name}"' in error.detail for name in ("parts", "segmentations"))
    assert len(scanned(root, "parts", "seg*/").image_index) == 20


@pytest.mark.image_input(
    SECTION, "files that are no image, and images outside the class folders", "left out; counted by suffix, and named"
)
def test_other_files_are_counted_by_suffix_and_named(root: Path) -> None:
    create(root, "README", "stray.jpg", "a.csv", *(f"crane/{number}.TXT" for number in range(7)))
    found = scanned(root)
    skipped = found.listing.skipped
    assert skipped.counts == {
        "image outside the class folders": 1,
        "not an image (no suffix)": 1,
        "not an image (.csv)": 1,
        "not an image (.txt)": 7,
    }
    assert len(skipped.examples["not an image (.txt)"]) == 5
    assert found.listing.report()[0].startswith("left out 7, not an image (.txt): crane/")


@pytest.mark.image_input(
    SECTION, "images in subfolders of a class folder", "count for its label; noted with an example"
)
def test_images_in_subfolders_count_and_are_noted(root: Path) -> None:
    create(root, "crane/train/1.jpg", "crane/a/b/c.jpg")
    found = scanned(root)
    assert len(found.image_index) == 22
    assert found.listing.notes == ['2 images of "crane" lie in subfolders, such as crane/a/b/c.jpg: they count']


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("crane/1.jpg", 29),
        ("./crane/1.jpg", 29),
        ("1.jpg", 27),
        ("crane/*", 20),
        ("*/[12].jpg", 24),
        ("red finch/", 20),
        ("red*", 20),
    ],
)
@pytest.mark.image_input(
    SECTION,
    'patterns in `exclude`, such as `"*_bad/"`',
    "leave out files and folders; one without a match is an error",
)
def test_patterns_leave_out_files_and_folders(root: Path, pattern: str, left: int) -> None:
    create_ten(root, "blue jay")
    found = scanned(root, pattern)
    assert len(found.image_index) == left
    assert f'excluded by "{pattern}"' in found.listing.skipped.counts


def test_patterns_that_match_nothing_are_named_at_once(root: Path) -> None:
    error = error_of(root, "1.jpg", "*_bad", "1.jpg/")
    assert (error.code, error.pointer) == ("unmatched_pattern", "/images/exclude")
    assert '"*_bad", "1.jpg/"' in error.detail


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("blue jay", "Blue_Jay"),
        ("blue jay", "blue jay "),
        ("012.Blue jay", "013.Blue jay"),
        ("caf\u00e9", "cafe\u0301"),
        ("caf\u00e9", os.fsdecode(b"caf\xe9")),
    ],
)
@pytest.mark.image_input(
    SECTION,
    "folders that are equal after normalisation: `Red_Finch` and `red finch`, `012.Crane` and `013.Crane`",
    "an error with both names; allowed if folder_map names both",
)
def test_folders_that_match_one_label_are_never_merged_silently(root: Path, first: str, second: str) -> None:
    create_ten(root, first, second)
    error = error_of(root)
    assert (error.code, error.pointer) == ("merged_labels", "/folder_map")
    if second.isprintable():  # the folder map is JSON
        label = "café" if "caf" in first else "blue jay"
        assert f'"{first}"' in error.detail
        assert f'"{second}"' in error.detail
        assert error_of(root, folder_map={first: label}).code == "merged_labels"
        assert len(scanned(root, folder_map={first: label, second: label}).image_index) == 40


def names_that_are_not_utf8(root: Path) -> list[str]:
    names = [os.fsdecode(name) for name in (b"caf\xe9.jpg", b"a\nb\t.jpg", b'"q".jpg')]
    return names + ["caf\u00e9.jpg", "cafe\u0301.jpg", "x" * 250 + ".jpg", " .jpg", "A.JPG", "a.jpg"]


@pytest.mark.image_input(
    SECTION,
    "file and folder names that are not UTF-8, or hold quotes, tabs and line ends",
    "are kept to the byte; shown escaped (`caf\\xe9.jpg`); folders are matched to labels as Windows-1252",
)
def test_names_of_any_bytes_are_scanned_split_saved_and_loaded(tmp_path: Path) -> None:
    root = tmp_path / os.fsdecode(b"d\xe4ta")
    folder = os.fsdecode(b"caf\xe9")
    names = names_that_are_not_utf8(root)
    create(root, *(f"{each}/{name}" for each in ("crane", folder) for name in names))
    found = scanned(root)
    index = found.image_index
    assert {item.path for item in index} == {f"{each}/{name}" for each in ("crane", folder) for name in names}
    assert index.id_labels == (0, 5)
    index.save(tmp_path / "manifest.jsonl")
    (tmp_path / "manifest.jsonl").read_text(encoding="utf-8")
    loaded = ImageIndex.load(tmp_path / "manifest.jsonl")
    assert (loaded.root, loaded.items, loaded.digest) == (index.root, index.items, index.digest)
    assert all(index.file(at).is_file() for at in range(len(index)))
    assert r'the folder name caf\xe9 is not UTF-8 and was read as "café"' in found.listing.report()


def test_an_error_about_a_name_of_any_bytes_can_be_written(root: Path) -> None:
    create_ten(root, os.fsdecode(b"a\n\xff\x81"))
    error = error_of(root)
    error.detail.encode()
    assert error.detail.isprintable()
    (root / os.fsdecode(b"crane/\xff")).symlink_to(root / "crane")
    assert r"crane/\xff" in error_of(root).detail


@pytest.mark.image_input(
    SECTION, "a FIFO, socket or device named like an image, a link that leads nowhere", "left out, counted and named"
)
def test_special_files_and_broken_links_are_left_out(root: Path) -> None:
    os.mkfifo(root / "crane" / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "crane" / "s.jpg"))
    (root / "crane" / "null.jpg").symlink_to(root / "crane" / "fifo.jpg")
    (root / "crane" / "gone.jpg").symlink_to(root / "nowhere.jpg")
    (root / "crane" / "loop.jpg").symlink_to("loop.jpg")
    (root / "crane" / "folder.jpg").mkdir()
    os.mkfifo(root / "pipe")
    found = scanned(root)
    assert len(found.image_index) == 20
    assert found.listing.skipped.counts == {"FIFO, socket or device": 4, "link that leads nowhere": 2}


@pytest.mark.parametrize(("error", "reason"), [(PermissionError(13, "Permission denied"), "permissions")])
def test_a_folder_that_cannot_be_read_is_an_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, reason: str
) -> None:
    scandir = os.scandir

    def refuse(path: str | Path) -> object:
        if str(path).endswith("red finch"):
            raise error
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = error_of(root)
    assert found.code == "folder_unreadable"
    assert '"red finch" cannot be read' in found.detail
    assert reason in found.detail
    (root / "blue jay").mkdir()
    create_ten(root, "blue jay")
    assert len(scanned(root, "red finch").image_index) == 20


def test_a_folder_that_vanishes_during_the_scan_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def vanish(path: str | Path) -> object:
        if str(path).endswith("red finch"):
            raise FileNotFoundError(2, "No such file or directory")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", vanish)
    assert '"red finch" vanished during the scan' in error_of(root).detail


def test_a_file_or_a_loop_of_links_is_no_dataset(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    assert error_of(root / "loop").code == "link"
    assert "is a file" in error_of(root / "crane" / "1.jpg").detail


@pytest.mark.image_input(
    SECTION, "shards beside class folders with images", "an error that names both: exclude one; never merged"
)
def test_shards_beside_class_folders_are_refused(root: Path) -> None:
    create(root, "birds.tar", "old.tar.gz")
    error = error_of(root)
    assert (error.code, error.pointer) == ("mixed_layout", "/images/exclude")
    assert '"birds.tar"' in error.detail
    assert '"crane"' in error.detail
    found = scanned(root, "*.tar")
    assert len(found.image_index) == 20
    assert found.listing.skipped.counts["not an image (.gz)"] == 1


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train-000.tar", "train"),
        ("birds_TRAIN_0001.tar", "train"),
        ("imagenet-val-{000}.tar", "val"),
        ("validation0001.tar", "validation"),
        ("val_on_train-0.tar", "val_on_train"),
        ("shards/test/000.tar", "test"),
        ("food-000.tar", None),
        ("pretraining-1.tar", None),
        ("train-test-0.tar", None),
    ],
)
def test_part_that_a_shard_is_named_after(name: str, part: str | None) -> None:
    assert part_of_shard(name) == part


@pytest.mark.image_input(SECTION, "system folders, and folders without images, beside `train/` and `val/`", "left out")
def test_other_folders_beside_part_folders_are_reported(tmp_path: Path) -> None:
    create_ten(tmp_path, "train/crane", "train/red finch", "val/blue jay", "__MACOSX/train/crane")
    create(tmp_path, "docs/readme.txt")
    pooled = scanned(tmp_path)
    assert pooled.listing.layout == "part_folders"
    assert len(pooled.image_index) == 30
    assert pooled.listing.notes == [
        'the split by seed pools the parts (train 20, val 10); the split by "parts" keeps them apart'
    ]
    create_ten(tmp_path, "extra/crane")
    apart = scanned(tmp_path, split={"by": "parts"})
    assert apart.image_index.counts["ood"] == 10
    assert apart.listing.skipped.counts == {"created by a system or tool": 1, "folder beside the part folders": 2}


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    create_ten(tmp_path, "train/crane", "Training/red finch", "val/blue jay")
    assert error_of(tmp_path).code == "ambiguous"
    assert len(scanned(tmp_path, "Training").image_index) == 20
