"""Oxford Flowers-102 on a miniature, and the published names held against other sources."""

from pathlib import Path

import pytest

from distill.data.layouts.published.flower_names import FLOWER_NAMES
from limbeck.shared.label_matching import loose_form
from tests.conftest import SHARED_DATA
from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, save_matlab, write


def _miniature(root: Path) -> Path:
    create(root, *(f"jpg/image_{id:05d}.jpg" for id in range(1, 5)))
    save_matlab(root / "imagelabels.mat", {"labels": [[1, 102, 1, 17]]})
    save_matlab(root / "setid.mat", {"trnid": [[3]], "valid": [[2]], "tstid": [[1, 4]]})
    return root


@pytest.mark.image_input(
    "Published datasets",
    "Oxford Flowers-102 (`.mat`)",
    "reads `imagelabels.mat` and `setid.mat`; names are those of `cat_to_name.json`, else those that Oxford published",
)
def test_numbers_from_one_are_the_published_names(tmp_path: Path) -> None:
    listing = listing_of(_miniature(tmp_path))
    assert listing.layout == "flowers102"
    assert listing.images == [
        Image("jpg/image_00001.jpg", ("pink primrose",), "test"),
        Image("jpg/image_00002.jpg", ("blackberry lily",), "val"),
        Image("jpg/image_00003.jpg", ("pink primrose",), "train"),
        Image("jpg/image_00004.jpg", ("purple coneflower",), "test"),
    ]


def test_names_of_a_file_count_before_the_published_ones(tmp_path: Path) -> None:
    root = write(_miniature(tmp_path), {"cat_to_name.json": '{"1": "rose", "17": "tulip", "102": "iris"}'})
    assert [image.labels for image in listing_of(root).images] == [("rose",), ("iris",), ("rose",), ("tulip",)]
    error = listing_error(write(root, {"cat_to_name.json": '{"1": "rose", "17": "tulip"}'}))
    assert "label 102, which has no name" in error.detail


def test_published_names_are_those_of_torchvision_and_of_the_paper() -> None:
    from torchvision.datasets import Flowers102

    assert list(FLOWER_NAMES) == Flowers102.classes
    file = SHARED_DATA / "li2023" / "Flower102" / "label2text.txt"
    if not file.exists():
        pytest.skip("the label file of the paper is not here")
    published = [line.split()[2] for line in file.read_text().splitlines()]
    assert [loose_form(name) for name in published] == [loose_form(name) for name in FLOWER_NAMES]


@pytest.mark.image_input(
    "Published datasets", "a `.mat` file without scipy", "refused; the error names what to install"
)
def test_missing_scipy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = _miniature(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "scipy.io", None)
    error = listing_error(root)
    assert error.code == "missing_extra"
    assert "scipy" in error.detail
    assert "datasets" in error.detail


@pytest.mark.parametrize(
    ("head", "said"),
    [(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "7.3"), (b"no MATLAB file at all", "is not a MATLAB file")],
    ids=["version 7.3", "text"],
)
def test_unreadable_matlab_file_is_named(tmp_path: Path, head: bytes, said: str) -> None:
    root = _miniature(tmp_path)
    (root / "imagelabels.mat").write_bytes(head.ljust(600, b"\0"))
    error = listing_error(root)
    assert error.code == "bad_list"
    assert said in error.detail
