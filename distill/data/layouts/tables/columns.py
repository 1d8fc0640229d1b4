"""Finds the columns of a table: the image, its label, part and caption. Imports no torch.

A column is given (`ImageSource.columns`) or recognised by its header and by its values. Where two columns could be
meant, nothing is guessed: the error lists the columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from distill.data.image_folders import FolderError, json_pointer
from distill.data.image_source import ColumnName, TableColumns
from distill.data.layouts.tables.rows import Table
from limbeck.shared.images.kinds import is_image_name
from limbeck.shared.label_files.identifiers import is_number
from limbeck.shared.label_files.tables import header_key
from limbeck.shared.labels import quoted

# In the order in which they are preferred.
_IMAGES = """
    file_name filename file_names filenames image_path img_path image_file img_file filepath filepaths file_path
    image_name img_name image img picture photo path file image_filename images imgs image_filepath fname
""".split()  # noqa: SIM905
_IMAGE_IDS = "image_id img_id imageid id".split()  # noqa: SIM905
_LABEL_NAMES = """
    label_name class_name category_name species_name label_text text_label labelname classname label_names class_names
    category_names display_name object_name
""".split()  # noqa: SIM905
_LABELS = """
    label labels class classes category categories species target targets y breed tag tags object variety kind
    class_id label_id category_id class_idx label_idx class_index label_index target_label ground_truth gt wnid synset
    class_label labels_name
""".split()  # noqa: SIM905
_PARTS = "split subset part partition set data_set dataset_split phase split_name usage fold".split()  # noqa: SIM905
_IS_TRAIN = "is_train is_training is_training_image is_training_img".split()  # noqa: SIM905
_CAPTIONS = "caption captions text description descriptions sentence prompt alt_text alt".split()  # noqa: SIM905


@dataclass(frozen=True)
class Columns:
    """Positions of the columns of a table; None for a column that it does not have.

    `is_train`: whether the column of the part says if an image is for training (1 or 0). `labels`: several columns of
    labels (`distill.data.layouts.tables.label_columns`).
    """

    image: int
    label: int | None
    part: int | None
    caption: int | None
    is_train: bool = False
    labels: tuple[int, ...] = ()


def choose(table: Table, given: TableColumns) -> Columns:
    """The columns of a table. Raises FolderError no_column or ambiguous_columns."""
    image = position_of(table, given.image, "image")
    if image is None:
        image = _image(table)
    label = position_of(table, given.label, "label")
    labels = tuple(position for one in given.labels if (position := position_of(table, one, "labels")) is not None)
    if labels and label is not None:
        detail = "images.columns.label and images.columns.labels exclude each other: give one of them"
        raise FolderError("ambiguous_columns", detail, "/images/columns/labels")
    if label is None and not labels:
        label = label_column(table, taken=[image])
    part = part_column(table, given, taken=[image, label, *labels])
    caption = caption_column(table, given, taken=[image, label, part, *labels])
    return Columns(image, label, part, caption, is_train_column(table, part), labels)


def part_column(table: Table, given: TableColumns, *, taken: Sequence[int | None]) -> int | None:
    """The position of the parts. Raises FolderError no_column."""
    part = position_of(table, given.part, "part")
    return _first(table, (*_PARTS, *_IS_TRAIN), taken) if part is None else part


def is_train_column(table: Table, part: int | None) -> bool:
    """Whether the header of the column of parts says that 1 is for training."""
    return part is not None and bool(table.header) and header_key(table.header[part]) in _IS_TRAIN


def caption_column(table: Table, given: TableColumns, *, taken: Sequence[int | None]) -> int | None:
    """The position of the captions. Raises FolderError no_column."""
    caption = position_of(table, given.caption, "caption")
    return _first(table, _CAPTIONS, taken) if caption is None else caption


def has_images(table: Table) -> bool:
    """Whether a table has a column of images, by headers and first values."""
    keys = {header_key(name) for name in table.header}
    return bool(keys & {*_IMAGES} or _with_image_names(table) or (keys & {*_IMAGE_IDS} and has_labels(table)))


def has_labels(table: Table) -> bool:
    """Whether a table has labels, parts or captions by its header, or no other column than the images."""
    keys = {header_key(name) for name in table.header}
    return len(keys) < 2 or bool(keys & {*_LABEL_NAMES, *_LABELS, *_PARTS, *_IS_TRAIN, *_CAPTIONS})


def position_of(table: Table, column: ColumnName | None, role: str) -> int | None:
    """The position of a column that is given. Raises FolderError no_column if the table does not have it."""
    if column is None:
        return None
    if isinstance(column, int):
        if column < table.width:
            return column
        shown = f"{table.name} has {table.width} columns, and none has the number {column} (they count from 0)"
    else:
        exact = [at for at, name in enumerate(table.header) if name == column]
        found = exact or [at for at, name in enumerate(table.header) if header_key(name) == header_key(column)]
        if len(found) == 1:
            return found[0]
        count = "several columns" if found else "no column"
        shown = f"{table.name} has {count} {quoted(column)}: {_names(table)}"
    raise FolderError("no_column", shown, json_pointer("images", "columns", role))


def label_column(table: Table, *, taken: Sequence[int], certain: Sequence[int] = ()) -> int | None:
    """The position of the labels, None if there is no such column. Raises FolderError ambiguous_columns.

    `certain`: columns that the file says are labels. Columns of names are preferred to columns of numbers, and
    `label_name` and the like to `label`.
    """
    if certain:
        if len(certain) > 1:
            raise _ambiguous(table, "label", certain)
        return certain[0]
    if not table.header:
        others = [at for at in range(table.width) if at not in taken and any(map(is_filled, column(table, at)))]
        if len(others) > 1:
            raise _ambiguous(table, "label", others)
        return others[0] if others else None
    named = [at for at in _known(table, (*_LABEL_NAMES, *_LABELS)) if at not in taken]
    texts = [at for at in named if not all(map(_is_numeric, column(table, at)))]
    found = texts or named
    found = [at for at in found if header_key(table.header[at]) in _LABEL_NAMES] or found
    if len(found) > 1:
        raise _ambiguous(table, "label", found)
    return found[0] if found else None


def no_label_column(table: Table, columns: Columns) -> FolderError:
    """The error for a table without a column of labels, whose images lie in one folder, which names no label."""
    taken = (columns.image, columns.part, columns.caption)
    others = [at for at in range(table.width) if at not in taken and any(map(is_filled, column(table, at)))]
    if len(others) > 1 and all(is_flag(cell) for at in others for cell in column(table, at)):
        names = ", ".join(_words(table, at) for at in others[:5])
        remedy = (
            f"it has a column for each label ({names}): give them as images.columns.labels, or write the name of the "
            "label into one column"
        )
    else:
        remedy = f"{_names(table)}; give images.columns.label, or another table as images.file"
    detail = f"{table.name} has no column of labels, such as `label`, and its images lie in one folder: {remedy}"
    return FolderError("no_label", detail, "/images/columns/label")


def column(table: Table, position: int) -> list[object]:
    """The first values of a column."""
    return [row.cells[position] for row in table.sample]


def is_filled(cell: object) -> bool:
    """Whether a cell has a value: not empty, null or NaN."""
    return cell is not None and cell == cell and str(cell).strip() != ""


def _image(table: Table) -> int:
    with_names = _with_image_names(table)
    known = _known(table, (*_IMAGES, *_IMAGE_IDS))
    found = [at for at in known if at in with_names] or with_names
    if len(found) > 1:
        raise _ambiguous(table, "image", found)
    if not found:  # names without suffixes, such as Kaggle's `id`
        found = [at for at in known if all(map(is_filled, column(table, at)))]
    if not found:
        detail = (
            f"{table.name} has no column of images, such as `file_name`: {_names(table)}; give images.columns.image"
        )
        raise FolderError("no_column", detail, "/images/columns/image")
    return found[0]


def _with_image_names(table: Table) -> list[int]:
    """The columns in which every value of the first rows is the name of an image file."""
    return [
        at
        for at in range(table.width)
        if (filled := [cell for cell in column(table, at) if is_filled(cell)])
        and all(isinstance(cell, str) and is_image_name(cell.strip()) for cell in filled)
    ]


def _known(table: Table, keys: Sequence[str]) -> list[int]:
    """The columns with these headers, in the order of the headers."""
    by_key = {header_key(name): at for at, name in reversed(list(enumerate(table.header)))}
    return [by_key[key] for key in keys if key in by_key]


def _first(table: Table, keys: Sequence[str], taken: Sequence[int | None]) -> int | None:
    return next((at for at in _known(table, keys) if at not in taken), None)


def _is_numeric(cell: object) -> bool:
    return not is_filled(cell) or isinstance(cell, int | float) or (isinstance(cell, str) and is_number(cell.strip()))


def _ambiguous(table: Table, role: str, found: Sequence[int]) -> FolderError:
    which = ", ".join(_words(table, at) for at in found)
    detail = f"{table.name} has several columns that could be the {role} ({which}): give images.columns.{role}"
    return FolderError("ambiguous_columns", detail, json_pointer("images", "columns", role))


def is_flag(cell: object) -> bool:
    """Whether a cell is 0, 1 or -1, true or false, or empty."""
    return not is_filled(cell) or str(cell).strip().lower() in ("0", "1", "-1", "0.0", "1.0", "-1.0", "true", "false")


def _words(table: Table, position: int) -> str:
    if table.header:
        return quoted(table.header[position])
    example = next((str(cell) for cell in column(table, position) if is_filled(cell)), "")
    return f"{position} (such as {quoted(example)})"


def _names(table: Table) -> str:
    return "its columns are " + ", ".join(_words(table, at) for at in range(min(table.width, 30)))
