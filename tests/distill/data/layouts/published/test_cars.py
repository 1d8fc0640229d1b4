"""Stanford Cars on miniatures of its three releases."""

from pathlib import Path
from typing import Any

import pytest

from distill.data.dataset.scan import scan_dataset
from distill.data.splits import SPLIT
from tests.distill.data.helpers_index import create
from tests.distill.data.layouts.helpers_layouts import Image, listing_error, listing_of, save_matlab, write

NAMES = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"]


def _annotations(file: Path, rows: list[dict[str, Any]], **more: Any) -> None:
    import numpy as np

    kinds = [(key, object) for key in rows[0]]
    save_matlab(file, {"annotations": np.array([tuple(row.values()) for row in rows], dtype=kinds), **more})


def _first_release(root: Path, test_file: str = "cars_test_annos_withlabels.mat") -> Path:
    import numpy as np

    create(root, "cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg")
    save_matlab(root / "devkit/cars_meta.mat", {"class_names": np.array(NAMES, dtype=object)})
    box = {"bbox_x1": 1, "bbox_y1": 1, "bbox_x2": 9, "bbox_y2": 9}
    train = [{**box, "class": 2, "fname": "00001.jpg"}, {**box, "class": 1, "fname": "00002.jpg"}]
    _annotations(root / "devkit/cars_train_annos.mat", train)
    number = {} if test_file.endswith("cars_test_annos.mat") else {"class": 2}
    _annotations(root / test_file, [{**box, **number, "fname": "00001.jpg"}])
    return root


@pytest.mark.image_input(
    "Published datasets",
    "Stanford Cars (`.mat`), in its first release, in its second (`car_ims/`), or by class folders (`car_data/`)",
    "reads `devkit/cars_meta.mat` and the annotations of train and test; `cars_annos.mat`; or `train/` and `test/`",
)
def test_first_release(tmp_path: Path) -> None:
    listing = listing_of(_first_release(tmp_path))
    assert listing.layout == "cars"
    assert listing.images == [
        Image("cars_train/00001.jpg", (NAMES[1],), "train"),
        Image("cars_train/00002.jpg", (NAMES[0],), "train"),
        Image("cars_test/00001.jpg", (NAMES[1],), "test"),
    ]


def test_test_images_without_labels_are_counted(tmp_path: Path) -> None:
    listing = listing_of(_first_release(tmp_path, "devkit/cars_test_annos.mat"))
    assert [image.part for image in listing.images] == ["train", "train"]
    assert listing.skipped.counts == {"image without a label": 1}


def test_second_release(tmp_path: Path) -> None:
    import numpy as np

    create(tmp_path, "car_ims/000001.jpg", "car_ims/000002.jpg")
    rows = [{"relative_im_path": f"car_ims/00000{n}.jpg", "bbox_x1": 1, "class": n, "test": n - 1} for n in (1, 2)]
    _annotations(tmp_path / "cars_annos.mat", rows, class_names=np.array(NAMES, dtype=object))
    assert listing_of(tmp_path).images == [
        Image("car_ims/000001.jpg", (NAMES[0],), "train"),
        Image("car_ims/000002.jpg", (NAMES[1],), "test"),
    ]


def test_release_by_class_folders(tmp_path: Path) -> None:
    folders = (NAMES[0], "Ram C-V Cargo Van Minivan 2012")
    create(tmp_path, *(f"car_data/car_data/{part}/{one}/1.jpg" for part in ("train", "test") for one in folders))
    write(tmp_path, {"anno_train.csv": "00001.jpg,1,1,9,9,1\n", "anno_test.csv": "", "names.csv": "\n".join(NAMES)})
    index = scan_dataset(tmp_path, NAMES, SPLIT.validate_python({"by": "parts"})).image_index
    assert index.counts == {"train": 2, "held_out": 2, "ood": 0, "id_labels": 2, "ood_labels": 0}


def test_class_without_a_name_is_refused(tmp_path: Path) -> None:
    root = _first_release(tmp_path)
    save_matlab(root / "devkit/cars_meta.mat", {"class_names": NAMES[:1]})
    assert "class 2; there are 1 class names" in listing_error(root).detail
