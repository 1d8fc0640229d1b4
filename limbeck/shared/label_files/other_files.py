"""Text that is no file of labels, and would become garbage: SQL, listings, source code, annotations."""

import re
from collections.abc import Sequence

from limbeck.shared.label_files.types import LabelFileError, examples

_NUMBER_COLUMNS = re.compile(r"\S+(?:[\s,]+-?\d+(?:\.\d+)?){2,}")
_SQL = re.compile(
    r"^\s*(?:INSERT\s+INTO\s+\S.*(?:VALUES|\()|CREATE\s+TABLE\s+\S.*\(|COPY\s+\S.*\sFROM\s+stdin;)", re.M | re.I
)
_LISTING = re.compile(r"^(?:[│\s]*[├└]──? |[dl-][rwx-]{9}[.+@]?\s+\d+\s)", re.M)
_CODE = re.compile(
    r"^(?:class\s+\w+\s*(?:\([^()\n]*\))?\s*:|def\s+\w+\s*\(.*[:(,]|from\s+[\w.]+\s+import\s+\S.*|import\s+[\w.]+(?:\s+as\s+\w+|;)|"
    r"#include\s*[<\"].*|(?:public\s+|static\s+|async\s+|export\s+|const\s+)*(?:function|class|enum|struct|interface)\s+\w+[^\n]*\{|"
    r"(?:const|static|constexpr|private|public|pub|final|export)\s[^\n]*[{(]|if\s+__name__\s*==.*)\s*$",
    re.M,
)


def refuse_other_files(text: str) -> None:
    """Raise LabelFileError for text that is SQL, a listing or source code."""
    if ";" in text and _SQL.search(text):
        raise LabelFileError("is SQL, not a list of labels: export the column of names as CSV")
    if _LISTING.search(text):
        raise LabelFileError("is a listing with more than names: give the output of `ls -1` instead")
    if found := _CODE.search(text):
        raise LabelFileError(
            f"is source code ({found[0].strip()[:60]!r}), not a list of labels: "
            "save the list of names alone, such as CLASSES = ['cat', 'dog']"
        )


def refuse_annotations(lines: Sequence[str]) -> None:
    """Refuse annotations of images, and a file of settings, such as Darknet's `classes = 80`."""
    if all(_NUMBER_COLUMNS.fullmatch(line) for line in lines):
        raise LabelFileError(
            f"has several columns of numbers ({examples(lines[:1])}), as annotations of images have: "
            "give a list of the names of the labels"
        )
    if all(re.fullmatch(r"[\w.-]+\s*=(?!>)\s*\S.*|\[[\w .-]+\]", line) for line in lines):
        sides = [line.split("=", 1) for line in lines if "=" in line]
        has_numbers = all(a.strip().isdigit() for a, _ in sides) or all(b.strip().isdigit() for _, b in sides)
        if len(sides) < len(lines) or not has_numbers:
            raise LabelFileError("is a file of settings (key = value), not of labels: give the file that has the names")
