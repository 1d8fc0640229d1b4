"""Names the files of a folder without images that hold images in another form, and what to do. Imports no torch."""

import os
import re
from pathlib import Path

from limbeck.shared.images.kinds import is_image_name

_EXTRACT = "save each image as a file, in one folder per label or with a table"
_KINDS = (
    (r".*-(?:images|labels)[.-]idx\d-ubyte(?:\.gz)?", "IDX files (MNIST)", _EXTRACT),
    (r"data_batch_\d+(?:\.bin)?|test_batch(?:\.bin)?|batches\.meta(?:\.txt)?", "pickled batches (CIFAR)", _EXTRACT),
    (r".*\.(?:npz|npy)", "NumPy arrays", _EXTRACT),
    (r".*\.(?:pkl|pickle|p|pt|pth)", "Python pickles, which are never opened", _EXTRACT),
    (r".*\.(?:h5|hdf5)", "HDF5 files", _EXTRACT),
    (r".*\.mat", "MATLAB files", _EXTRACT),
    (r".*\.tfrecords?(?:-\d+-of-\d+)?(?:\.gz)?", "TFRecord files", "convert them to WebDataset shards or Parquet"),
    (r".*\.(?:rec|lmdb|mdb|beton)", "records of another library", "convert them to WebDataset shards or Parquet"),
    (r".*\.(?:zip|7z|rar|gz|bz2|xz|zst)", "packed files", "unpack them"),
    (r".*\.(?:xlsx|xls|ods|numbers)", "spreadsheets", "save the sheet as CSV"),
)
_MAX_FOLDERS = 1_000


def described(root: Path) -> str:
    """What a folder without images holds instead, with the remedy; empty if it has images, or nothing known."""
    found: dict[int, list[str]] = {}
    for number, (_, folders, names) in enumerate(os.walk(root)):
        if number == _MAX_FOLDERS or any(map(is_image_name, names)):
            return ""
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            kind = next((at for at, (form, *_) in enumerate(_KINDS) if re.fullmatch(form, name, re.I)), None)
            if kind is not None:
                found.setdefault(kind, []).append(name)
    if not found:
        return ""
    kind = min(found)
    _, words, remedy = _KINDS[kind]
    return f'the folder has no image files, but {words} such as "{found[kind][0]}": {remedy}'
