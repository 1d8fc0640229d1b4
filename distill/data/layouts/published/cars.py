"""Stanford Cars in its releases. Imports no torch.

The first release: `cars_train/` and `cars_test/` with `devkit/cars_meta.mat`, `devkit/cars_train_annos.mat` and
`cars_test_annos_withlabels.mat`. The second: `car_ims/` with `cars_annos.mat`. By class folders, as on Kaggle:
`anno_train.csv`, `names.csv` and `car_data/car_data/` with `train/` and `test/`.
"""

from pathlib import Path
from typing import Any

from distill.data.image_source import ImageSource
from distill.data.layouts import part_folders
from distill.data.layouts.layout_files import (
    bad_list,
    holds,
    read_matlab,
    recognised_by,
    require_base,
    structures,
    values,
)
from distill.data.layouts.listed_images import ListedImages
from distill.data.layouts.listing import Listing

_META, _TRAIN = "devkit/cars_meta.mat", "devkit/cars_train_annos.mat"
_TEST = ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat", "devkit/cars_test_annos.mat")
_ANNOTATIONS = "cars_annos.mat"
_is_first, _is_second, _has_folders = holds(_META, _TRAIN), holds(_ANNOTATIONS), holds("anno_train.csv", "names.csv")


def _is_base(folder: Path) -> bool:
    return _is_first(folder) or _is_second(folder) or _has_folders(folder)


recognises = recognised_by(_is_base)


def read(root: Path, source: ImageSource) -> Listing:
    """The images of all annotation files or part folders. Raises FolderError."""
    base = require_base(
        root, _is_base, "cars", f"{_META} and {_TRAIN}, {_ANNOTATIONS}, or anno_train.csv and names.csv"
    )
    if not (_is_first(base) or _is_second(base)):
        folder = require_base(base, part_folders.has_part_folder, "cars", "train/ and test/")
        return part_folders.read_below(root, folder, source, layout="cars")
    images = ListedImages("cars", root, base, source, label_noun="car")
    if _is_first(base):
        _add_first(images, root, base)
    else:
        _add_second(images, root, base)
    return images.finish()


def _add_first(images: ListedImages, root: Path, base: Path) -> None:
    names = _class_names(root, base / _META, read_matlab(root, base / _META))
    test = next((base / name for name in _TEST if (base / name).exists()), None)
    for file, part in ((base / _TRAIN, "train"), (test, "test")):
        for record in _annotations(root, file) if file else ():
            # The test annotations of the devkit have no class: such images are counted as images without a label.
            labels = (_name(root, file, names, record["class"]),) if file and "class" in record else ()
            images.add(str(record["fname"]), labels, part, folders=(f"cars_{part}", f"cars_{part}/cars_{part}"))


def _add_second(images: ListedImages, root: Path, base: Path) -> None:
    file = base / _ANNOTATIONS
    variables = read_matlab(root, file)
    names = _class_names(root, file, variables)
    for record in structures(root, file, variables, "annotations", ("relative_im_path", "class", "test")):
        label = _name(root, file, names, record["class"])
        images.add(str(record["relative_im_path"]), (label,), "test" if record["test"] else "train")


def _annotations(root: Path, file: Path) -> list[dict[str, Any]]:
    return structures(root, file, read_matlab(root, file), "annotations", ("fname",))


def _class_names(root: Path, file: Path, variables: dict[str, Any]) -> list[str]:
    return [str(name) for name in values(root, file, variables, "class_names")]


def _name(root: Path, file: Path, names: list[str], number: int) -> str:
    if not 1 <= number <= len(names):
        raise bad_list(root, file, f"has the class {number}; there are {len(names)} class names")
    return names[number - 1]
