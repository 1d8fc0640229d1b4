"""ImageNet and its relatives on miniatures: mapping files, flat validation images, class numbers, ambiguous words."""

import json
from pathlib import Path

import pytest

from distill.data.dataset.scan import ScannedDataset, scan_dataset
from distill.data.image_folders import FolderError
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, save_matlab, write

TENCH, BIRD, MACHINE = "n01440764", "n02012849", "n03126707"
WORDS = {TENCH: "tench, Tinca tinca", BIRD: "crane", MACHINE: "crane"}
SYNSETS = "".join(f"{wnid} {words}\n" for wnid, words in WORDS.items())
NUMBERED = f"{TENCH} 1 tench\n{BIRD} 135 crane\n{MACHINE} 518 crane\n"
LABELS = ["tench", "crane (n02012849)", "crane (n03126707)"]


def _train(root: Path, *wnids: str) -> Path:
    return create(root, *(f"train/{wnid}/{wnid}_{n}.JPEG" for wnid in wnids or WORDS for n in (1, 2)))


def _flat(root: Path) -> Path:
    return create(_train(root), *(f"val/ILSVRC2012_val_0000000{n}.JPEG" for n in (1, 2, 3)))


def _scan(root: Path, labels: list[str], **more: object) -> ScannedDataset:
    return scan_dataset(root, labels, SPLIT.validate_python({"by": "seed", "id_fraction": 1}), **more)  # type: ignore[arg-type]


@pytest.mark.image_input(
    "Published datasets",
    "ImageNet, ImageNet-A, -R and -Sketch, with folders named by WordNet ids",
    "matches the words of each id, which are read from `LOC_synset_mapping.txt`, `imagenet_class_index.json`, "
    "`map_clsloc.txt`, `synset_words.txt`, `classnames.txt`, `label2text.txt`, `meta.mat` or `words.txt`",
)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LOC_synset_mapping.txt", SYNSETS),
        ("synset_words.txt", SYNSETS),
        ("classnames.txt", SYNSETS),
        ("words.txt", SYNSETS.replace(" ", "\t", 1) + "n00001740 entity\n"),
        ("map_clsloc.txt", NUMBERED),
        ("devkit/data/map_clsloc.txt", NUMBERED),
        ("imagenet_class_index.json", json.dumps({str(n): [one, WORDS[one]] for n, one in enumerate(WORDS)})),
    ],
    ids=["Kaggle", "Caffe", "CoOp", "WordNet", "devkit", "below", "Keras"],
)
def test_words_of_ids_come_from_any_mapping_file(tmp_path: Path, name: str, text: str) -> None:
    scanned = _scan(write(_train(tmp_path), {name: text}), LABELS)
    assert scanned.listing.layout == "imagenet"
    assert {item.path.split("/")[1]: item.label for item in scanned.image_index} == {TENCH: 0, BIRD: 1, MACHINE: 2}


def test_folders_of_ids_need_no_parts(tmp_path: Path) -> None:
    root = write(_train(tmp_path) / "train", {"synset_words.txt": SYNSETS})
    scanned = _scan(root, LABELS)
    assert scanned.listing.layout == "imagenet"
    assert {item.path.split("/")[0]: item.label for item in scanned.image_index} == {TENCH: 0, BIRD: 1, MACHINE: 2}


def test_meta_of_the_devkit_has_the_words(tmp_path: Path) -> None:
    import numpy as np

    kinds = [(key, object) for key in ("ILSVRC2012_ID", "WNID", "words", "num_children")]
    rows = [(n, wnid, words, 0) for n, (wnid, words) in enumerate(WORDS.items(), start=1)]
    synsets = np.array([*rows, (4, "n00001740", "entity", 3)], dtype=kinds)
    save_matlab(tmp_path / "ILSVRC2012_devkit_t12/data/meta.mat", {"synsets": synsets})
    write(tmp_path, {"ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt": "3\n1\n2\n"})
    listing = listing_of(_flat(tmp_path), "imagenet")
    assert listing.aliases[TENCH] == ("tench, Tinca tinca", "tench", "Tinca tinca", "tench (n01440764)")
    assert [image.labels for image in listing.images if image.part == "val"] == [(MACHINE,), (TENCH,), (BIRD,)]


@pytest.mark.image_input(
    "Published datasets",
    "ImageNet's `val/` in one folder",
    "reads the labels from `LOC_val_solution.csv`, `val_annotations.txt`, "
    "`imagenet_2012_validation_synset_labels.txt`, or the devkit's `ILSVRC2012_validation_ground_truth.txt`",
)
@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000002,n02012849 85 1 499 272 \n"
            "ILSVRC2012_val_00000001,n01440764 1 2 3 4 n01440764 5 6 7 8\nILSVRC2012_val_00000003,n01440764 1 1 1 1\n",
        ),
        ("imagenet_2012_validation_synset_labels.txt", f"{TENCH}\n{BIRD}\n{TENCH}\n"),
        (
            "val/val_annotations.txt",
            "".join(
                f"ILSVRC2012_val_0000000{n}.JPEG\t{one}\t0\t32\t44\t62\n"
                for n, one in ((1, TENCH), (2, BIRD), (3, TENCH))
            ),
        ),
    ],
    ids=["Kaggle", "synset labels", "Tiny ImageNet"],
)
def test_flat_validation_images_get_the_labels_of_a_list(tmp_path: Path, name: str, text: str) -> None:
    listing = listing_of(write(_flat(tmp_path), {name: text}))
    assert [image for image in listing.images if image.part == "val"] == [
        Image(f"val/ILSVRC2012_val_0000000{n}.JPEG", (one,), "val") for n, one in ((1, TENCH), (2, BIRD), (3, TENCH))
    ]


@pytest.mark.image_input(
    "Published datasets",
    "ImageNet's `val/` in one folder, without a file of labels",
    "refused; the error names the files",
)
def test_flat_validation_images_without_labels_are_refused(tmp_path: Path) -> None:
    error = listing_error(_flat(tmp_path))
    assert (error.code, error.pointer) == ("missing_list", "/images/exclude")
    assert "LOC_val_solution.csv" in error.detail


def test_test_images_are_counted_and_kaggles_folders_found(tmp_path: Path) -> None:
    base = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    create(_train(base), "test/ILSVRC2012_test_00000001.JPEG")
    write(tmp_path, {"LOC_synset_mapping.txt": SYNSETS})
    listing = listing_of(tmp_path)
    assert listing.images[0].path.startswith("ILSVRC/Data/CLS-LOC/train/n0")
    assert listing.skipped.counts == {"image without a label": 1}
    assert listing.aliases[BIRD] == ("crane", "crane (n02012849)")


@pytest.mark.image_input(
    "Published datasets",
    "two WordNet ids with the same word, such as ImageNet's two cranes",
    "told apart by an id or sense of the labels, or by `folder_map`; otherwise refused with both ids",
)
def test_ids_of_one_word_are_never_merged(tmp_path: Path) -> None:
    root = write(_train(tmp_path), {"synset_words.txt": SYNSETS})
    with pytest.raises(FolderError, match=r'"n02012849".*"n03126707"') as caught:
        _scan(root, ["tench", "crane"])
    assert caught.value.code == "merged_labels"
    ids = [{"wnid": one} for one in WORDS]
    index = _scan(root, ["tench", "crane (bird)", "crane (machine)"], label_ids=ids).image_index
    assert {item.path.split("/")[1]: item.label for item in index} == {TENCH: 0, BIRD: 1, MACHINE: 2}
    by_map = {BIRD: "crane (bird)", MACHINE: "crane (machine)"}
    assert (
        _scan(root, ["tench", "crane (bird)", "crane (machine)"], folder_map=by_map).image_index.digest == index.digest
    )


def test_synonym_that_names_another_id_is_not_tried(tmp_path: Path) -> None:
    maillot, tank_suit = "n03710637", "n03710721"
    root = write(
        _train(tmp_path, maillot, tank_suit), {"words.txt": f"{maillot}\tmaillot\n{tank_suit}\tmaillot, tank suit\n"}
    )
    index = _scan(root, ["tank suit", "maillot"]).image_index
    assert {item.path.split("/")[1]: item.label for item in index} == {maillot: 1, tank_suit: 0}


@pytest.mark.image_input(
    "Published datasets",
    "WordNet ids without a file of their words",
    "refused; the error names the files that are read",
)
def test_ids_without_words_name_the_files_to_add(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="put one of LOC_synset_mapping.txt.* into the folder") as caught:
        _scan(_train(tmp_path), ["tench", "crane"])
    assert caught.value.code == "folder_matches_no_label"
    assert "3 names cannot be matched" in caught.value.detail


@pytest.mark.image_input(
    "Published datasets",
    "ImageNetV2, with folders `0` to `999`",
    "the numbers are those of the sorted WordNet ids of a mapping file with 1000 classes; without it refused",
)
def test_class_numbers_are_the_order_of_the_ids(tmp_path: Path) -> None:
    root = create(tmp_path / "imagenetv2", *(f"{n}/a.jpeg" for n in (0, 10, 999)))
    assert listing_error(root, "imagenet").code == "missing_list"
    index = {str(999 - n): [f"n{n:08d}", f"word {n}"] for n in range(1000)}
    write(root, {"imagenet_class_index.json": json.dumps(index)})
    listing = listing_of(root, "imagenet")
    assert [image.labels for image in listing.images] == [("n00000000",), ("n00000010",), ("n00000999",)]
    assert listing.aliases["n00000010"][0] == "word 10"


def test_indices_of_caffe_need_all_classes(tmp_path: Path) -> None:
    root = write(_flat(tmp_path), {"val.txt": "ILSVRC2012_val_00000001.JPEG 65\n", "synset_words.txt": SYNSETS})
    error = listing_error(root)
    assert error.code == "missing_list"
    assert "1000 classes: 3 were found" in error.detail
    write(root, {"synset_words.txt": "".join(f"n{n:08d} word {n}\n" for n in range(1000))})
    listing = listing_of(root)
    assert [image.labels for image in listing.images if image.part == "val"] == [("n00000065",)]
    assert listing.skipped.counts == {"image without a label": 2}
