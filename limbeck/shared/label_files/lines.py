"""Plain text as labels: one per line, with what lists of datasets have before and after the names.

    n01440764 tench, Tinca tinca      12 012.Yellow_headed_Blackbird      /a/airfield 0      0: tench      - tench

A form counts only if every line has it, and numbers only if they count the labels, so that `Boeing 737-200` and `3D
printer` stay as they are.
"""

import re
from collections.abc import Callable, Sequence
from itertools import takewhile

from limbeck.shared.label_files.delimited import is_one_column_header
from limbeck.shared.label_files.identifiers import (
    PREFIX_KINDS,
    are_increasing,
    are_years,
    id_kind,
    is_dense,
    is_kind,
)
from limbeck.shared.label_files.other_files import refuse_annotations
from limbeck.shared.label_files.tables import plain_name
from limbeck.shared.label_files.types import FileRow, LabelDraft, LabelFileError, examples
from limbeck.shared.labels import fold, numbered_lines
from limbeck.shared.text import counted

_SEPARATOR = r"(?:\s*[,;:|=\t]\s*|\s+-\s+|\s+)"
_ARROW = r"\s*(?:->|=>|→)\s*"
_PREFIX = re.compile(
    rf"[\[(#]?(?P<number>\d{{1,9}})[\])]?(?P<sep>\s*[.):,;|=、．）：](?!\d)\s*|{_ARROW}|\t\s*|\s+[-–—]\s+|_|\s+)(?P<rest>\S.*)"
)
_SUFFIX = re.compile(
    rf"(?P<rest>\S.*?)(?P<sep>{_ARROW}|\s*[,;:|=\t]\s*|\s+[-–—]\s+|\s+)[\[(#]?(?P<number>\d{{1,9}})[\])]?"
)
_THREE = re.compile(r"(?P<folder>\S+)\s+(?P<number>\d{1,9})\s+(?P<rest>\S.*)")
_PATH = re.compile(r"/[a-z]/(?P<rest>[^\s/].*)")
_BULLET = re.compile(r"(?P<mark>[-*+•‣◦–—·▪])\s+(?:\[[ xX]\]\s+)?(?P<rest>\S.*)")
_PADDED = re.compile(r"0*\d{3,5}[._]\S.*")
_MARKUP = (
    re.compile(r"\*\*(?P<name>[^*]+)\*\*"),
    re.compile(r"__(?P<name>[^_].*[^_])__"),
    re.compile(r"\*(?P<name>[^*]+)\*"),
    re.compile(r"\[(?P<name>[^\[\]]+)\]\([^()\s]*(?:\([^()]*\)[^()\s]*)*(?:\s+\"[^\"]*\")?\)"),
)  # of Markdown: bold, italic, links
_FOLDER = re.compile(r"(?:\./)?(?:(?:train|val|valid|validation|test|images)/)?(?P<name>[^/\s][^/]*)/?")
_NUMBERED = re.compile(
    r"(?:class|label|category|index|id|nr\.?|no\.?)\s*(?P<rest>\d{1,9}\s*[:=.)](?!\d)\s*\S.*)", re.IGNORECASE
)
_LETTERED = re.compile(r"\(?(?P<mark>[A-Za-z]|[ivxIVX]+|[①-⑳])(?P<sep>[.)]\s+|(?<=[①-⑳])\s*)(?P<rest>\S.*)")
_ROMANS = "i ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split()  # noqa: SIM905
_KEY = re.compile(r"(?P<key>label|name|class|category|species|class_name)\s*[:=]\s*(?P<rest>\S.*)", re.IGNORECASE)
_COMMENT = re.compile(r"(?:#(?!\d)|//\s).*|#")
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "`": "`"}
_MAX_WORDS_ON_ONE_LINE = 8
_MIN_INCREASING = 20
_MAX_CHARS = 2_000  # longer lines are faults, and the patterns are slow on them


def read_lines(text: str) -> LabelDraft:
    """The labels of plain text. Raises LabelFileError."""
    draft = LabelDraft(rows=[], read_as="plain text, one label per line", has_line_forms=True)
    lines = [(number, line.strip()) for number, line in numbered_lines(text)]
    filled = [(number, line) for number, line in lines if line]
    if blank := len(lines) - len(filled):
        draft.note(f"dropped {counted(blank, 'blank line')}")
    filled = _without_comments(draft, filled)
    if len(filled) > 1 and is_one_column_header(filled[0][1]):
        draft.note(f"the first line {examples([filled[0][1]])} is a header")
        del filled[0]
    if not filled:
        raise LabelFileError("has no labels: write one label per line", is_empty=True)
    if len(filled) == 1:
        draft.rows = _one_line(draft, *filled[0])
        return draft
    refuse_annotations([line for _, line in filled])
    draft.rows = [_row(number, line) for number, line in filled]
    if num_senses := sum(bool(row.sense) for row in draft.rows):
        draft.note(f"the text after a tab is the sense of {counted(num_senses, 'label')}")
    return draft


def _row(number: int, line: str) -> FileRow:
    name, _, sense = line.partition("\t")
    return FileRow(name=name.strip(), sense=sense.strip(), line=number)


def _without_comments(draft: LabelDraft, lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    comments = [line for _, line in lines if _COMMENT.fullmatch(line)]
    if not comments:
        return lines
    if len(comments) == len(lines):
        draft.warn("every line starts with #, which was kept as part of the names")
        return lines
    draft.note(f"dropped {counted(len(comments), 'comment')}: {examples(comments)}")
    first_name = next(at for at, (_, line) in enumerate(lines) if line not in comments)
    doubtful = [line for _, line in lines[first_name:] if re.match(r"#\w", line)]
    if doubtful:
        draft.warn(f"{examples(doubtful)} among the labels was dropped as a comment: if it is a label, use a JSON list")
    return [(number, line) for number, line in lines if not _COMMENT.fullmatch(line)]


def _one_line(draft: LabelDraft, number: int, line: str) -> list[FileRow]:
    """The labels of text with a single line: a list with separators, or one label."""
    line = re.sub(r"^(?:classes|labels|names|categories|species)\s*[:=]\s*(?=\S)", "", line, flags=re.IGNORECASE)
    for separator in ("\t", ";", "；", "|", "、", "，", "،", ","):
        parts = [part.strip() for part in line.split(separator) if part.strip()]
        if len(parts) < 2 or (separator == "\t" and len(parts) == 2):
            continue
        if separator == "," and len(parts) > 2:
            parts[-1] = re.sub(r"^(?:and|or|und|et|y|&)\s+", "", parts[-1])
        if len(parts) == 2 or len({fold(part) for part in parts}) < len(parts):
            if separator in ",|" and id_kind(parts[0]) or (len(parts) > 2 and id_kind(line.split()[0])):
                break
            raise LabelFileError(
                f"has a single line with {counted(len(parts), 'part')} ({examples([line])}): write one label per line, "
                'or a JSON list such as ["cat", "dog"]'
            )
        if id_kind(line.split()[0].rstrip(":,")) in PREFIX_KINDS:
            break
        words = {"\t": "tabs", ";": "semicolons", "；": "semicolons", "|": "bars"}.get(separator, "commas")
        draft.read_as = f"one line of labels, separated by {words}"
        draft.warn(f"the only line was divided at its {words} into {counted(len(parts), 'label')}")
        return [FileRow(name=part, line=number) for part in parts]
    if len(line.split()) > _MAX_WORDS_ON_ONE_LINE or re.search(r"\s[/·•]\s", line):
        draft.warn("the file has one line, which is the only label: write one label per line")
    return [_row(number, line)]


def strip_line_forms(draft: LabelDraft) -> None:
    """Remove from all names what surrounds them: bullets, quotes, ids and numbers, which stay as ids.

    Names of a table or document lose only ids, paths and numbers such as `001.`.
    """
    if max(len(row.name) for row in draft.rows) > _MAX_CHARS:
        return
    strippers = _STRIPPERS if draft.has_line_forms else (_strong_ids, _paths, _padded_numbers)
    for _ in range(6):
        if not any(strip(draft) for strip in strippers):
            break
    if draft.has_line_forms:
        _warn_about_numbers(draft)


def _names(draft: LabelDraft) -> list[str]:
    return [row.name for row in draft.rows]


def _matches(draft: LabelDraft, pattern: re.Pattern[str]) -> list[re.Match[str]]:
    """The match of every name; empty if one does not match."""
    matches: list[re.Match[str]] = []
    for row in draft.rows:
        if (match := pattern.fullmatch(row.name)) is None:
            return []
        matches.append(match)
    return matches


def _bullets(draft: LabelDraft) -> bool:
    found = _matches(draft, _BULLET)
    if len({match["mark"] for match in found}) != 1:
        return False
    return _replace(draft, [match["rest"] for match in found], "the mark before each label was removed")


def _markup(draft: LabelDraft) -> bool:
    """Bold names and links of Markdown."""
    for pattern in _MARKUP:
        if (found := _matches(draft, pattern)) and (len(found) > 1 or "(" in pattern.pattern[:3]):
            return _replace(draft, [match["name"] for match in found], "the Markdown around each label was removed")
    return False


def _folders(draft: LabelDraft) -> bool:
    """`cat/`, `./cat` or `train/cat`, as listings of folders have them."""
    found = _matches(draft, _FOLDER)
    names = [match["name"] for match in found]
    if len(found) < 2 or any(name == match[0] for name, match in zip(names, found, strict=True)):
        return False
    return _replace(draft, names, "the slashes and folders around each label were removed")


def _enumeration(draft: LabelDraft) -> bool:
    """`a) cat`, `ii. dog`, `① cat`, if the marks are in sequence; `Class 1: cat` loses its first word."""
    if found := _matches(draft, _NUMBERED):
        return _replace(draft, [match["rest"] for match in found], "the word before each number was removed")
    found = _matches(draft, _LETTERED)
    marks = [match["mark"].lower() for match in found]
    sequences = (_ROMANS, "abcdefghijklmnopqrstuvwxyz", "①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳")
    if all(match["mark"].isupper() and match["sep"][0] == "." and match["rest"][0].islower() for match in found):
        return False  # `A. baumannii`
    if len(marks) < 2 or not any(marks == list(sequence[: len(marks)]) for sequence in sequences):
        return False
    return _replace(draft, [match["rest"] for match in found], "the mark before each label was removed")


def _keys(draft: LabelDraft) -> bool:
    """The same word before every name, as in `label: cat`."""
    found = _matches(draft, _KEY)
    if len(found) < 2 or len({match["key"] for match in found}) != 1:
        return False
    return _replace(draft, [match["rest"] for match in found], "the word before each label was removed")


def _quotes(draft: LabelDraft) -> bool:
    """Quotes around every name, with a comma or semicolon after it (the last line can lack it)."""
    names = _names(draft)
    for end in ",;":
        if (
            len(names) > 1
            and all(name.endswith(end) for name in names[:-1])
            and not any(end in name[:-1] for name in names)
        ):
            return _replace(
                draft, [name.rstrip(end).strip() for name in names], f'the "{end}" after each label was removed'
            )
    for opening, closing in _QUOTES.items():
        stripped = [name.rstrip(",;") if name[:1] == opening else name for name in names]
        if all(len(name) > 2 and name[0] == opening and name[-1] == closing for name in stripped):
            inner = [name[1:-1].replace(closing * 2, closing) for name in stripped]
            return _replace(draft, inner, "the quotes around each label were removed")
    return False


def _replace(draft: LabelDraft, names: Sequence[str], note: str) -> bool:
    draft.note(f"{note} (such as {examples([draft.rows[0].name])})")
    for row, name in zip(draft.rows, names, strict=True):
        row.name = name.strip()
    return True


def _strong_ids(draft: LabelDraft) -> bool:
    """An id such as `n01440764` or `/m/011k07` before or after every name."""
    for kind in PREFIX_KINDS:
        for split in (_id_first, _id_last):
            parts = list(takewhile(bool, (split(row.name, kind) for row in draft.rows)))
            if len(parts) == len(draft.rows):
                note = f"the {kind} {'before' if split is _id_first else 'after'} each label is kept as metadata"
                return _keep(
                    draft, kind, [part[0] for part in parts if part], [part[1] for part in parts if part], note
                )
    return False


def _id_first(name: str, kind: str) -> tuple[str, str] | None:
    if kind == "wnid" and (found := re.fullmatch(r"(n\d{8})[-_](\S.*)", name)):
        return found[1], found[2]
    found = re.match(rf"(\S+?){_SEPARATOR}(?=\S)", name)
    return (found[1], name[found.end() :]) if found and is_kind(found[1], kind) else None


def _id_last(name: str, kind: str) -> tuple[str, str] | None:
    found = re.search(rf"{_SEPARATOR}(\S+)$", name)
    return (found[1], name[: found.start()]) if found and found.start() and is_kind(found[1], kind) else None


def _keep(draft: LabelDraft, key: str, ids: Sequence[str], names: Sequence[str], note: str) -> bool:
    """Take the names, and keep what was beside them under a key that is free."""
    known = [row.ids.get(key) for row in draft.rows]
    if any(known) and [int(id) if id and id.isdigit() else id for id in known] == [
        int(id) if id.isdigit() else id for id in ids
    ]:
        return _replace(draft, names, f"a second {key}, equal to the first, was dropped")
    free = (
        key
        if not any(known)
        else next(f"{key}_{n}" for n in range(2, 9) if not any(f"{key}_{n}" in row.ids for row in draft.rows))
    )
    _replace(draft, names, note)
    for row, id in zip(draft.rows, ids, strict=True):
        row.ids[free] = id
    return True


def _folder_rows(draft: LabelDraft) -> bool:
    """`folder number label`, as in label2text files; the folder can tell labels of the same name apart."""
    parts = _matches(draft, _THREE)
    if len(parts) < 2:
        return False
    numbers = [int(match["number"]) for match in parts]
    num_same = sum(plain_name(match["folder"]) == plain_name(match["rest"]) for match in parts)
    is_counted = is_dense(numbers) and len({match["folder"] for match in parts}) == len(parts)
    is_named = num_same > len(parts) / 2 and len(set(numbers)) == len(numbers)
    if any(match["folder"].isdigit() for match in parts) or not (is_counted or is_named):
        return False
    if all(is_kind(match["folder"], "wnid") for match in parts):
        return False  # `_strong_ids` reads it
    draft.read_as += " (folder, number, label)"
    for row, match in zip(draft.rows, parts, strict=True):
        row.groups.append(match["folder"])
        row.ids["folder"] = match["folder"]
    draft.index_key = draft.index_key or "index"
    return _keep(
        draft,
        "index",
        [match["number"] for match in parts],
        [match["rest"] for match in parts],
        "the folder and the number before each label are kept as metadata",
    )


def _paths(draft: LabelDraft) -> bool:
    """`/a/airfield` of Places365 and SUN397."""
    found = _matches(draft, _PATH)
    if not found or any(id_kind(row.name.split()[0]) for row in draft.rows):
        return False
    ids = [re.sub(r"\s+\d+$", "", name) for name in _names(draft)]
    return _keep(draft, "path", ids, [match["rest"] for match in found], "the letter before each label was removed")


def _numbers(draft: LabelDraft) -> bool:
    """A number before or after every name, if the numbers count the labels."""
    is_table = any(row.ids for row in draft.rows)
    has_paths = any("path" in row.ids for row in draft.rows)
    for pattern, words in ((_PREFIX, "before"), (_SUFFIX, "after")):
        matches = _matches(draft, pattern)
        if len({match["sep"].strip() for match in matches}) != 1:
            continue
        separator = matches[0]["sep"].strip()
        numbers = [int(match["number"]) for match in matches]
        rests = [match["rest"] for match in matches]
        is_padded = _are_padded([match["number"] for match in matches])
        is_weak = separator in ("", "-", "–", "—", "_") and not is_padded
        is_data_set = is_table or is_padded or _are_repeated(numbers, rests)
        is_sure = has_paths if pattern is _SUFFIX else is_data_set
        if not _count_labels(numbers, rests, is_weak=is_weak, is_sure=is_sure):
            continue
        is_index = is_dense(numbers) or are_increasing(numbers)
        if is_index and not draft.index_key:
            draft.index_key = "index"
        note = f"the number {words} each label was removed and is kept as its {'index' if is_index else 'number'}"
        return _keep(draft, "index" if is_index else "number", [str(number) for number in numbers], rests, note)
    return False


def _padded_numbers(draft: LabelDraft) -> bool:
    """A number such as `001.` before every name."""
    return bool(_matches(draft, _PADDED)) and _numbers(draft)


def _are_padded(numbers: Sequence[str]) -> bool:
    """Whether numbers have leading zeros and one width, as in `001`."""
    return len({len(number) for number in numbers}) == 1 and any(
        number[0] == "0" for number in numbers if len(number) > 1
    )


def _are_repeated(numbers: Sequence[int], rests: Sequence[str]) -> bool:
    """Whether each name starts with its number again, as in `12 012.Yellow_headed_Blackbird`."""
    found = [re.match(r"(\d+)[._]", rest) for rest in rests]
    return all(match and int(match[1]) == number for match, number in zip(found, numbers, strict=True))


def _count_labels(numbers: Sequence[int], rests: Sequence[str], *, is_weak: bool, is_sure: bool) -> bool:
    """Whether numbers beside the names are ids. `is_weak`: only white space or a hyphen is between number and name.

    `is_sure`: the lines have the form of a data set, for example with other ids.
    """
    if len(numbers) < 2 or len(set(numbers)) < len(numbers) or all(id_kind(rest) == "number" for rest in rests):
        return False
    if is_sure:
        return True
    if are_years(numbers) or len({fold(rest) for rest in rests}) < 0.9 * len(rests):
        return False
    if is_dense(numbers):
        return True
    return are_increasing(numbers) and (not is_weak or len(numbers) >= _MIN_INCREASING)


def _warn_about_numbers(draft: LabelDraft) -> None:
    """Say that numbers were kept, if every line has one."""
    names = _names(draft)
    for pattern, words in ((r"\d+\s+\S.*", "starts"), (r"\S.*\s\d+", "ends")):
        if len(names) > 1 and all(re.fullmatch(pattern, name) for name in names):
            draft.warn(f"each label {words} with a number, which was kept because the numbers do not count the labels")


_STRIPPERS: tuple[Callable[[LabelDraft], bool], ...] = (
    _bullets,
    _markup,
    _folders,
    _enumeration,
    _keys,
    _quotes,
    _strong_ids,
    _folder_rows,
    _paths,
    _numbers,
)
