"""The rows of tables in columns, and which of their images are there. Imports no torch. N rows.

Each folder is listed once, after all tables were read, and its names are dropped before the next one is listed: ten
million names would not fit into a gigabyte.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from distill.data.layouts.image_columns import ImageColumns
from distill.data.layouts.tables.columns import Columns
from distill.data.layouts.tables.paths import ImagePaths, label_of_place
from distill.data.layouts.tables.rows import Table
from limbeck.shared.images.kinds import is_image_name


@dataclass(eq=False)
class ReadTable:
    """A table that was read. `first`: its first row; `missing`: the rows whose image is not there, in order."""

    paths: ImagePaths
    table: Table
    columns: Columns
    first: int
    num_rows: int = 0
    missing: list[int] = field(default_factory=list)


class ListedRows:
    """N rows of tables: the images as the tables place them, and after `find` as they are called.

    `lines` (N,) are their lines in their tables.
    """

    def __init__(self) -> None:
        self.images = ImageColumns()
        self.lines = array("i")
        self.tables: list[ReadTable] = []
        self._places: dict[str, int] = {}
        self._place_codes = array("i")

    def begin(self, paths: ImagePaths, table: Table, columns: Columns) -> None:
        """Begin a table."""
        self.tables.append(ReadTable(paths, table, columns, len(self.lines)))

    def add(
        self,
        written: Sequence[str],
        lines: Sequence[int],
        label_codes: Sequence[int] | None,
        part_codes: Sequence[int],
        captions: Sequence[str],
    ) -> None:
        """Add rows of the last table by the paths that it gives, and their codes in `images`.

        `label_codes`: None if the folder of an image is its label.
        Raises FolderError as `ImagePaths.place`.
        """
        table, codes = self.tables[-1], self._places
        places = table.paths.places(written, lines)
        if label_codes is None:
            labels = {
                place: self.images.code_of_labels(label_of_place(place)) for place in {place for place, _ in places}
            }
            label_codes = [labels[place] for place, _ in places]
        self._place_codes.extend([codes.setdefault(place, len(codes)) for place, _ in places])
        self.images.extend_columns([place + name for place, name in places], label_codes, part_codes, captions)
        self.lines.extend(lines)
        table.num_rows += len(lines)

    def table_of(self, row: int) -> ReadTable:
        """The table of a row."""
        return self.tables[bisect_right(self.tables, row, key=lambda table: table.first) - 1]

    def find(self, report_unlisted: Callable[[str], None]) -> None:
        """Look for the images: those that are not there are `missing` in their tables, names that differ are corrected.

        `report_unlisted` gets the path of each image in one of the folders that no row names. Raises FolderError as
        `ImagePaths.find_in`.
        """
        import numpy as np  # the API does not load it at start

        found: dict[int, str | None] = {}
        codes = np.asarray(self._place_codes)
        is_in_order = bool((codes[1:] >= codes[:-1]).all())
        order: Sequence[int] = range(len(codes)) if is_in_order else np.argsort(codes, kind="stable")  # type: ignore[assignment]
        ends = np.cumsum(np.bincount(codes, minlength=len(self._places))).tolist()
        for place, code in sorted(self._places.items()):
            rows = list(map(int, order[ends[code - 1] if code else 0 : ends[code]]))
            names = [path[len(place) :] for path in self.images.paths.taken(rows)]
            if place.endswith("!"):
                size = self.tables[0].paths.shard_bytes(place[:-1])
                found.update((row, None) for row, name in zip(rows, names, strict=True) if _end(name) > size)
            else:
                self._find_in(place, rows, names, found, report_unlisted)
        self._places, self._place_codes = {}, array("i")
        for row in sorted(row for row, path in found.items() if path is None):
            self.table_of(row).missing.append(row)
        if any(path is not None for path in found.values()):
            self.images.rename({row: path for row, path in found.items() if path is not None})

    def _find_in(
        self,
        place: str,
        rows: Sequence[int],
        names: Sequence[str],
        found: dict[int, str | None],
        report_unlisted: Callable[[str], None],
    ) -> None:
        """Look for the images of one folder; `found` gets those that are not there, or are called otherwise."""
        listed = self.tables[0].paths.listing(place.removesuffix("/"))
        if listed is None:
            found.update(dict.fromkeys(rows))
            return
        used = set(names)
        if not used <= listed.files or used & listed.links or not all(map(is_image_name, used)):
            for row, name in zip(rows, names, strict=True):
                real = self.table_of(row).paths.find_in(place, listed, name, self.lines[row])
                if real is None or not is_image_name(real):
                    found[row] = None
                elif real != name:
                    found[row] = place + real
                    used.add(real)
        for name in sorted(filter(is_image_name, listed.files - used)):
            report_unlisted(place + name)


def _end(name: str) -> int:
    """The end of the bytes of a member of a shard, by the rest of its path after the shard."""
    first, _, rest = name.partition("+")
    return int(first) + int(rest.partition("!")[0])
