"""Several columns of labels in a table: a label in each, or a column for each label that holds 0 or 1. No torch."""

from collections.abc import Callable, Iterator, Sequence

from distill.data.image_folders import FolderError
from distill.data.layouts.tables.columns import column, is_filled, is_flag
from distill.data.layouts.tables.rows import Table
from limbeck.shared.labels import quoted

_SHOWN: Sequence[str] = ("1", "1.0", "true")
_NOT_SHOWN: Sequence[str] = ("0", "0.0", "false", "")
_MINUS: Sequence[str] = ("-1", "-1.0")


class LabelColumns:
    """Reads the labels of rows from the columns at `positions`.

    If the first rows hold nothing but 0, 1 and empty cells, or nothing but -1 and 1 as in CelebA, each column is a
    label, by its header. Elsewhere -1 may mean that a label is uncertain, and is an error. `code_of`: the code of a
    tuple of labels. Raises FolderError for columns of 0 and 1 without a header.
    """

    def __init__(self, table: Table, positions: Sequence[int], code_of: Callable[[tuple[str, ...]], int]) -> None:
        self._table, self._positions, self._code_of = table, positions, code_of
        cells = [cell for position in positions for cell in column(table, position)]
        self._are_flags = all(map(is_flag, cells))
        texts = {str(cell).strip().lower() if is_filled(cell) else "" for cell in cells}
        has_minus = not texts.isdisjoint(_MINUS) and texts.isdisjoint(_NOT_SHOWN)
        self._not_shown = _MINUS if has_minus else _NOT_SHOWN
        self._absent = "-1" if has_minus else "0 or nothing"
        if self._are_flags and not table.header:
            detail = f"{table.name} has no header, which would name the labels of its columns of 0 and 1: add one"
            raise FolderError("bad_table", detail, "/images/columns/labels")
        self._codes: dict[tuple[str, ...], int] = {}

    def codes(self, columns: Sequence[Sequence[object]], lines: Sequence[int]) -> Iterator[int]:
        """The code of the labels of each row. `columns`: its cells, by column. Raises FolderError."""
        for cells, line in zip(zip(*columns, strict=True), lines, strict=True):
            texts = tuple(str(cell).strip() if is_filled(cell) else "" for cell in cells)
            code = self._codes.get(texts)
            if code is None:
                code = self._codes[texts] = self._code_of(self._labels(texts, line))
            yield code

    def _labels(self, texts: tuple[str, ...], line: int) -> tuple[str, ...]:
        if not self._are_flags:
            return tuple(dict.fromkeys(filter(None, texts)))
        labels = []
        for position, text in zip(self._positions, texts, strict=True):
            if text.lower() in _SHOWN:
                labels.append(self._table.header[position].strip())
            elif text.lower() not in self._not_shown:
                detail = (
                    f"{self._table.name} line {line}: the column {quoted(self._table.header[position])} holds "
                    f"{quoted(text)}: give 1 for a label that the image shows, and {self._absent} for another"
                )
                raise FolderError("bad_table", detail, "/images/columns/labels")
        return tuple(labels)
