"""tiered-ImageNet on a miniature, and the label file of the paper."""

from pathlib import Path

import pytest

from distill.data.dataset.scan import scan_dataset
from distill.data.layouts.published.wordnet import names_of, read_mapping
from distill.data.splits import SPLIT
from tests.conftest import SHARED_DATA
from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import listing_error, listing_of, write


@pytest.mark.image_input(
    "Published datasets",
    "tiered-ImageNet",
    "reads `train/`, `val/` and `test/` with folders named by WordNet ids, and `label2text.txt`",
)
def test_parts_hold_different_classes(tmp_path: Path) -> None:
    folders = ("train/n02119789", "train/n02100735", "test/n02110185")
    root = create(tmp_path, *(f"{folder}/{n}.jpg" for folder in folders for n in (1, 2)))
    write(root, {"label2text.txt": "n02119789 1 kit_fox\nn02100735 2 English_setter\nn02110185 3 Siberian_husky\n"})
    labels = ["Siberian husky", "kit fox", "English setter"]
    scanned = scan_dataset(root, labels, SPLIT.validate_python({"by": "parts"}))
    assert scanned.listing.layout == "tiered_imagenet"
    assert (scanned.image_index.id_labels, scanned.image_index.ood_labels) == ((1, 2), (0,))


@pytest.mark.image_input(
    "Published datasets",
    "tiered-ImageNet as pickles or NumPy arrays",
    "refused; the error says to give images as files",
)
@pytest.mark.parametrize("name", ["train_images_png.pkl", "train_images.npz"])
def test_packed_release_is_refused(tmp_path: Path, name: str) -> None:
    error = listing_error(write(tmp_path, {name: "", "class_names.txt": "kit fox\n"}))
    assert error.code == "packed_images"
    assert f'"{name}"' in error.detail


def test_label_file_of_the_paper_has_three_words_twice() -> None:
    file = SHARED_DATA / "li2023" / "tiered-ImageNet" / "label2text.txt"
    if not file.exists():
        pytest.skip("the label file of the paper is not here")
    words = read_mapping(file.parent.resolve(), file.resolve())
    names = names_of(words, words)
    assert len(words) == 1000
    assert names["n02119789"] == ("kit fox", "kit fox (n02119789)")
    shared = [words[one].casefold() for one in words]
    assert sorted({word for word in shared if shared.count(word) > 1}) == ["cardigan", "crane", "maillot"]


def test_layout_without_a_label_file_can_be_chosen(tmp_path: Path) -> None:
    root = create(tmp_path, "train/n02119789/1.jpg", "val/n02110185/1.jpg")
    assert listing_of(root, "tiered_imagenet").layout == "tiered_imagenet"
    assert listing_of(root).layout == "imagenet"
