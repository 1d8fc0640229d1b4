"""The listing of a data set of Hugging Face. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.data.image_folders import FolderError
from distill.data.image_source import ImageSource
from distill.data.layouts.huggingface.features import Features, features_of
from distill.data.layouts.huggingface.files import SUFFIXES, DataFile, data_files, first_file, may_be_dataset
from distill.data.layouts.huggingface.rows import ImageTable, open_table
from distill.data.layouts.listing import ListedImage, Listing
from distill.data.layouts.tables import columns
from distill.data.layouts.tables.files import has_class_folders, has_image, part_of_value
from distill.data.layouts.tables.layout import NO_LABEL, Missing, caption_of, labels_of
from distill.data.layouts.tables.paths import ImagePaths
from distill.data.layouts.tables.rows import Table
from limbeck.shared.labels import quoted

_IMAGE_NAMES = ("image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "webp")


def recognises(root: Path) -> bool:
    """Whether the folder has Parquet or Arrow files with images, and no class folders."""
    return root.is_dir() and may_be_dataset(root) and is_data(root, None) and not has_class_folders(root)


def is_data(root: Path, file: str | None) -> bool:
    """Whether a file or folder below the root, or the root itself, has Parquet or Arrow files with images."""
    if file is not None and not (root / file).is_dir() and not file.lower().endswith(SUFFIXES):
        return False
    try:
        first = first_file(root, file)
        table = open_table(root / first.name, first.name)
    except FolderError:  # a data set that cannot be read, or other files beside class folders
        return not has_image(root)
    return bool(_image_columns(table.schema, features_of(table.schema.metadata, root / first.name, root)))


def read(root: Path, source: ImageSource) -> Listing:
    """The images of the data set in `root`. Raises FolderError."""
    listing = Listing("huggingface", label_noun="label")
    notes: dict[str, None] = {}
    for file in data_files(root, source):
        table = open_table(root / file.name, file.name)
        found = _columns(table, file, root, source)
        notes[found.described] = None
        _list(listing, root, table, file, found, source)
    if not listing.images:
        detail = f"no image of the data set has a label ({'; '.join(notes)}): give images.columns.label"
        raise FolderError("no_label", detail, "/images/columns/label")
    listing.notes += notes
    return listing


@dataclass(frozen=True)
class _Found:
    """The columns of a file, by name. `class_names`: of the numbers of the label."""

    image: str
    label: str | None
    part: str | None
    caption: str | None
    class_names: Sequence[str]
    is_train: bool

    @property
    def described(self) -> str:
        columns = [f"image {quoted(self.image)}", f"label {quoted(self.label)}" if self.label else "no label"]
        columns += [f"part {quoted(self.part)}"] if self.part else []
        return ", ".join(columns + ([f"caption {quoted(self.caption)}"] if self.caption else []))


def _columns(table: ImageTable, file: DataFile, root: Path, source: ImageSource) -> _Found:
    """The columns of a file. Raises FolderError no_column or ambiguous_columns."""
    features = features_of(table.schema.metadata, root / file.name, root)
    others = [field.name for field in table.schema if "binary" not in str(field.type)]
    plain = Table(file.name, tuple(others), len(others), table.sample(others), lambda _: iter(()))
    images = _image_columns(table.schema, features)
    if source.columns.image is not None:
        images = [name for name in images if name == source.columns.image]
    if len(images) != 1:
        names = ", ".join(map(quoted, _image_columns(table.schema, features))) or "none"
        detail = f"{file.name} needs one column of images, and has {names}: give images.columns.image"
        raise FolderError("no_column", detail, "/images/columns/image")
    if source.columns.labels:
        detail = 'images.columns.labels has no effect on the layout "huggingface": give one column of lists as label'
        raise FolderError("unread_setting", detail, "/images/columns/labels")
    label = columns.position_of(plain, source.columns.label, "label")
    if label is None:
        certain = [at for at, name in enumerate(others) if name in features.class_names]
        label = columns.label_column(plain, taken=[], certain=certain)
    part = columns.part_column(plain, source.columns, taken=[label])
    caption = columns.caption_column(plain, source.columns, taken=[label, part])

    def name(position: int | None) -> str | None:
        return None if position is None else others[position]

    class_names = features.class_names.get(name(label) or "", ())
    return _Found(images[0], name(label), name(part), name(caption), class_names, columns.is_train_column(plain, part))


def _image_columns(schema: Any, features: Features) -> list[str]:
    """The columns of images: those that the data set states, else structs with bytes, else binary columns by name."""
    binary = [field.name for field in schema if "binary" in str(field.type) and not str(field.type).startswith("list")]
    stated = [name for name in binary if name in features.images]
    structs = [name for name in binary if schema.field(name).type.num_fields]
    named = [name for name in binary if name.lower() in _IMAGE_NAMES]
    return stated or structs or named


def _list(listing: Listing, root: Path, table: ImageTable, file: DataFile, found: _Found, source: ImageSource) -> None:
    wanted = [name for name in (found.label, found.part, found.caption) if name is not None]
    paths, missing, number = ImagePaths(root, file.name, ""), Missing(file.name), 0
    for number, row in enumerate(table.rows(found.image, wanted), start=1):
        cells = dict(zip(wanted, row.cells, strict=True))
        path = row.path
        if path is None and row.name:
            path = paths.find(row.name, number)
        place = f"{quoted(row.name or '')} in row {number}"
        labels = _labels(cells.get(found.label or ""), found, file.name, number, source)
        if path is None:
            missing.add(place)
        elif not labels:
            listing.skipped.add(NO_LABEL, path)
        else:
            stated = part_of_value(cells.get(found.part or ""), is_train=found.is_train)
            caption = caption_of(cells.get(found.caption or ""))
            listing.images.append(ListedImage(path, labels, stated or file.part, caption))
    missing.close(source, listing, number, "")


def _labels(value: object, found: _Found, name: str, row: int, source: ImageSource) -> tuple[str, ...]:
    """The names of the labels in a cell. -1 and null say that there is none."""
    if not found.class_names:
        return labels_of(value, source.label_separator)
    numbers = value if isinstance(value, list) else [value]
    known = [number for number in numbers if isinstance(number, int) and number != -1]
    for number in known:
        if not 0 <= number < len(found.class_names):
            detail = f"{name} row {row}: label {number} is none of the {len(found.class_names)} class names"
            raise FolderError("bad_table", detail, "/images/file")
    return tuple(dict.fromkeys(found.class_names[number] for number in known))
