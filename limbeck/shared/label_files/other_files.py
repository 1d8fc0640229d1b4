"""Text that is no file of labels, and would become garbage labels: Git LFS pointers, error pages, SQL, source code."""

import re

from limbeck.shared.label_files.types import LabelFileError

_LFS = re.compile(r"version https://git-lfs\.github\.com/spec/")
_ERROR_PAGE = re.compile(
    r"(?:\d{3}:? )?(?:Not Found|Forbidden|Bad Request|Unauthorized|Internal Server Error)|Entry not found|"
    r"Invalid username or password\.?|Access Denied|Rate limit exceeded\.?",
    re.IGNORECASE,
)
_SQL = re.compile(
    r"^\s*(?:INSERT\s+INTO\s+\S.*(?:VALUES|\()|CREATE\s+TABLE\s+\S.*\(|COPY\s+\S.*\sFROM\s+stdin;)", re.M | re.I
)
_CODE = re.compile(
    r"^(?:class\s+\w+\s*(?:\([^()\n]*\))?\s*:|def\s+\w+\s*\(.*|from\s+[\w.]+\s+import\s+\S.*|import\s+[\w.]+(?:\s+as\s+\w+)?;?|"
    r"#include\s*[<\"].*|(?:public\s+|static\s+|async\s+|export\s+)*(?:function|class)\s+\w+[^\n]*\{|if\s+__name__\s*==.*)\s*$",
    re.M,
)


def refuse_other_files(text: str) -> None:
    """Raise LabelFileError for text that is a pointer, an error page, SQL or source code."""
    if _LFS.match(text):
        raise LabelFileError("is a pointer of Git LFS, not the file itself: run `git lfs pull`, or download the file")
    if _ERROR_PAGE.fullmatch(text.strip()):
        raise LabelFileError(f"is the error {text.strip()!r} of a server, not the file: download it again")
    if _SQL.search(text):
        raise LabelFileError("is SQL, not a list of labels: export the column of names as CSV")
    if found := _CODE.search(text):
        raise LabelFileError(
            f"is source code ({found[0].strip()[:60]!r}), not a list of labels: "
            "save the list of names alone, such as CLASSES = ['cat', 'dog']"
        )
