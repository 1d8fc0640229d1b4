"""A curve as lines of text: two columns and four rows of dots in each character (braille), or `*` without Unicode."""

from collections.abc import Sequence

_BRAILLE = 0x2800
# The bit of each dot in a braille character, by column and row.
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_AXIS_CHARS = 9

Point = tuple[float, float]
"""x and y."""


def curve_lines(points: Sequence[Point], *, width: int, height: int, ascii_only: bool = False) -> list[str]:
    """The curve through `points`, whose x ascend, in `height` lines of `width` characters, with its largest and
    smallest y at the left. Empty for fewer than two points.

    Each column of dots shows the mean of the points in it, and is joined to the column before it.
    """
    if len(points) < 2:
        return []
    chars = max(2, width - _AXIS_CHARS - 2)
    columns, rows = (chars, height) if ascii_only else (2 * chars, 4 * height)
    means = _column_means(points, columns)
    low, high = min(means.values()), max(means.values())
    scale = (rows - 1) / (high - low) if high > low else 0.0
    dots = _joined({column: round((high - mean) * scale) for column, mean in means.items()})
    cells = _ascii_cells(dots, chars, height) if ascii_only else _braille_cells(dots, chars, height)
    labels = [_axis_text(high), *[""] * (height - 2), _axis_text(low)] if height > 1 else [_axis_text(high)]
    edge = "|" if ascii_only else "│"
    return [f"{label:>{_AXIS_CHARS}} {edge}{line}".rstrip() for label, line in zip(labels, cells, strict=True)]


def _column_means(points: Sequence[Point], columns: int) -> dict[int, float]:
    """Column → mean y of its points, for the columns that have one."""
    start, span = points[0][0], max(points[-1][0] - points[0][0], 1e-12)
    found: dict[int, list[float]] = {}
    for x, y in points:
        found.setdefault(round((x - start) / span * (columns - 1)), []).append(y)
    return {column: sum(values) / len(values) for column, values in found.items()}


def _joined(curve: dict[int, int]) -> set[tuple[int, int]]:
    """The dots (column, row) of a curve, with those of straight lines between its columns."""
    dots: set[tuple[int, int]] = set()
    before: tuple[int, int] | None = None
    for column, row in sorted(curve.items()):
        dots.add((column, row))
        if before is not None:
            left, top = before
            for step in range(1, column - left + 1):
                middle = round(top + (row - top) * step / (column - left))
                last = round(top + (row - top) * (step - 1) / (column - left))
                dots |= {(left + step, at) for at in range(min(last, middle), max(last, middle) + 1)}
        before = column, row
    return dots


def _braille_cells(dots: set[tuple[int, int]], chars: int, height: int) -> list[str]:
    cells = [[_BRAILLE] * chars for _ in range(height)]
    for column, row in dots:
        cells[row // 4][column // 2] |= _BITS[column % 2][row % 4]
    return ["".join(map(chr, line)).rstrip(chr(_BRAILLE)) for line in cells]


def _ascii_cells(dots: set[tuple[int, int]], chars: int, height: int) -> list[str]:
    return ["".join("*" if (column, row) in dots else " " for column in range(chars)) for row in range(height)]


def _axis_text(value: float) -> str:
    return f"{value:.4g}"
