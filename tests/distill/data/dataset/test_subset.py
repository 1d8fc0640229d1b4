"""A subset of labels or folders; everything that matches nothing is named at once."""

from pathlib import Path

import pytest

from distill.data.dataset.scan import ScannedDataset, scan_dataset
from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import LABELS, create, create_ten


def _scan(root: Path, **source: object) -> ScannedDataset:
    split = SPLIT.validate_python({"by": "seed", "id_fraction": 1})
    return scan_dataset(root, LABELS, split, source=ImageSource.model_validate(source))


def _error(root: Path, **source: object) -> FolderError:
    with pytest.raises(FolderError) as caught:
        _scan(root, **source)
    return caught.value


@pytest.mark.image_input(
    "Layouts and tables",
    "`labels`: a subset of the vocabulary",
    "images of other labels are left out and counted; labels without images are named at once",
)
def test_chosen_labels_leave_out_the_images_of_others(tmp_path: Path) -> None:
    root = create_ten(tmp_path, "crane", "Red_Finch", "blue jay", "no bird")
    scanned = _scan(root, labels=["Red finch", "crane"])
    assert (len(scanned.image_index), scanned.image_index.id_labels) == (20, (1, 2))
    assert scanned.image_index.labels == LABELS
    assert scanned.listing.skipped.counts == {
        "image of a label that is not chosen": 10,
        "image of a label not in the vocabulary": 10,
    }


def test_everything_that_matches_nothing_is_named_at_once(tmp_path: Path) -> None:
    root = create_ten(tmp_path, "crane", "red finch", "blue_jays")
    error = _error(root, labels=["crane", "blue jay", "red finchs", "heron"], folders=["c*", "r*", "b*", "x*", "y*"])
    assert (error.code, error.pointer) == ("no_such_folder", "/images/folders/3")
    assert error.detail.startswith("5 names cannot be matched: ")
    for name in ('"x*"', '"y*"', '"red finchs" is no label of the vocabulary; near: red finch', '"heron"'):
        assert name in error.detail
    assert "label \"blue jay\" has no images (the images have 'blue_jays')" in error.detail


@pytest.mark.image_input(
    "Layouts and tables",
    "`folders`: patterns of folders",
    "uses only images in a folder or shard whose name or path matches; patterns that match nothing are named at once",
)
@pytest.mark.parametrize(
    ("patterns", "folders"),
    [
        (["crane"], {"crane", "crane/2024"}),
        (["*jay", "red*"], {"blue jay", "red finch", "red finch/2024"}),
        (["2024"], {"crane/2024", "red finch/2024"}),
        (["crane/2024"], {"crane/2024"}),
    ],
    ids=["name", "two names", "inner folder", "path"],
)
def test_chosen_folders_hold_the_images(tmp_path: Path, patterns: list[str], folders: set[str]) -> None:
    root = create_ten(tmp_path, "crane", "blue jay", "red finch")
    create(root, "crane/2024/1.jpg", "crane/2024/2.jpg", "red finch/2024/1.jpg")
    source = ImageSource(folders=tuple(patterns))
    scanned = scan_dataset(root, LABELS, SPLIT.validate_python({"by": "all", "part": "test"}), source=source)
    assert {item.path.rpartition("/")[0] for item in scanned.image_index} == folders
    assert len(scanned.image_index) + sum(scanned.listing.skipped.counts.values()) == 33


def test_folder_that_is_not_chosen_needs_no_label(tmp_path: Path) -> None:
    root = create_ten(tmp_path, "crane", "red finch", "no bird")
    assert _error(root).code == "folder_matches_no_label"
    assert len(_scan(root, folders=["crane", "red*"]).image_index) == 20


@pytest.mark.image_input(
    "Layouts and tables",
    "folders or labels of images that are not in the vocabulary",
    'refused, all named at once with similar labels; `"unmatched": "skip"` leaves them out and counts them',
)
def test_unmatched_folders_are_named_at_once_or_skipped(tmp_path: Path) -> None:
    root = create_ten(tmp_path, "crane", "red finch", "bluejays", "heron")
    error = _error(root)
    assert error.detail.startswith("2 names cannot be matched: ")
    assert (
        'folder "bluejays" matches no label (looked for "bluejays"); name it in folder_map; near: blue jay'
        in error.detail
    )
    assert 'folder "heron"' in error.detail
    assert error.detail.endswith('2 labels have no images: "Black footed Albatross", "blue jay" (near: bluejays)')
    scanned = _scan(root, unmatched="skip")
    assert len(scanned.image_index) == 20
    assert scanned.listing.skipped.counts == {"image of a label not in the vocabulary": 20}


def test_many_unmatched_folders_are_counted(tmp_path: Path) -> None:
    root = create(tmp_path, *(f"x{n:02d}/1.jpg" for n in range(30)))
    labels = '4 labels have no images: "Black footed Albatross", "crane", "red finch", "blue jay"'
    assert _error(root).detail.endswith(f"; and 10 more; {labels}")


@pytest.mark.image_input(
    "Layouts and tables",
    "two folders or names that match one label, such as `012.Crane` and `Crane`",
    "refused with both; `folder_map` with both makes them one label",
)
def test_two_folders_of_one_label_are_not_merged(tmp_path: Path) -> None:
    root = create_ten(tmp_path, "012.Crane", "Crane", "red finch")
    error = _error(root)
    assert (error.code, error.pointer) == ("merged_labels", "/folder_map")
    assert all(name in error.detail for name in ('"012.Crane"', '"Crane"'))
    split = SPLIT.validate_python({"by": "seed", "id_fraction": 1})
    scanned = scan_dataset(root, LABELS, split, {"012.Crane": "crane", "Crane": "crane"})
    assert sorted(item.label for item in scanned.image_index) == [1] * 20 + [2] * 10


def test_labels_of_a_list_and_of_the_folder_map_are_named_at_once(tmp_path: Path) -> None:
    root = create_ten(tmp_path, "crane", "red finch")
    split = SPLIT.validate_python({"by": "list", "id": ["crane", "heron"], "ood": ["blue jay", "finch"]})
    with pytest.raises(FolderError) as caught:
        scan_dataset(root, LABELS, split)
    assert (caught.value.code, caught.value.pointer) == ("unknown_label", "/split/id/1")
    assert all(name in caught.value.detail for name in ('"heron"', '"blue jay" has no images', '"finch"'))
    with pytest.raises(FolderError, match="2 names cannot be matched"):
        scan_dataset(root, LABELS, split, {"a": "heron", "b": "wren", "c": "crane"})


@pytest.mark.image_input(
    "Layouts and tables",
    "identifiers and aliases in a label file or vocabulary (`n02012849`, `Grus grus`)",
    "folders and labels of images match them, after all names",
)
def test_identifiers_and_aliases_of_labels_match_after_their_names(tmp_path: Path) -> None:
    root = create_ten(tmp_path, "n02012849", "Carduelis", "blue jay")
    ids = [None, {"wnid": "n02012849", "index": "7"}, {"aliases": ["carduelis", "blue jay"]}, {"folder": "x"}]
    split = SPLIT.validate_python({"by": "seed", "id_fraction": 1})
    index = scan_dataset(root, LABELS, split, label_ids=ids).image_index
    assert {item.path.split("/")[0]: item.label for item in index} == {"n02012849": 1, "Carduelis": 2, "blue jay": 3}
    create(root, "7/1.jpg")
    with pytest.raises(FolderError, match='folder "7"'):  # an index of a label file counts from 0 or 1
        scan_dataset(root, LABELS, split, label_ids=ids)
