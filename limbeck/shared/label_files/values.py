"""Values of documents as labels: lists, objects, index -> name, name -> index, id -> name, and lists inside documents.

["tench", …]      [{"id": 1, "name": "tench"}, …]      {"0": "tench"}      {"tench": 0}      {"n01440764": "tench, …"}
{"id2label": {…}}     {"0": ["n01440764", "tench"]}     {"categories": […]}     {"features": {"label": {"names": […]}}}
"""

from collections.abc import Iterator, Sequence

from limbeck.shared.label_files.delimited import is_one_column_header
from limbeck.shared.label_files.identifiers import common_kind, is_dense, is_number
from limbeck.shared.label_files.tables import (
    TableRow,
    has_id_header,
    has_name_header,
    header_key,
    is_header,
    records_draft,
    table_draft,
)
from limbeck.shared.label_files.types import (
    FileRow,
    LabelDraft,
    LabelFileError,
    Pairs,
    Value,
    examples,
    line_of,
)
from limbeck.shared.labels import fold

# Keys of a list of labels inside a document, in the order in which they are preferred.
_CONTAINERS = """
    id2label names class_names classnames label_names labels classes thing_classes stuff_classes categories
    idx_to_class idx2label
    index_to_class int2str label2id class_to_idx class_to_id label2idx name_to_id label_map labelmap class_index
    vocabulary label_list class_list concepts species taxa tags words
""".split()  # noqa: SIM905
_RECORD_CONTAINERS = ("entries", "items", "data", "records", "rows", "results", "objects")
_MAX_VISITED = 5_000
_REMEDY = 'give a list such as ["cat", "dog"] or [{"name": "crane", "sense": "bird"}]'


def value_draft(value: Value, words: str) -> LabelDraft:
    """The labels of a value; `words` names its notation (`JSON`). Raises LabelFileError."""
    if isinstance(value, Pairs):
        return _object(value, words)
    if isinstance(value, list):
        return _list(value, words)
    if isinstance(value, str):
        return _names([value], f"{words} with one text")
    raise LabelFileError(f"is {words} with the single value {value!r}, not a list of labels: {_REMEDY}")


def _list(values: Sequence[Value], words: str) -> LabelDraft:
    if not values:
        raise LabelFileError(f"has an empty list: {_REMEDY}")
    if words == "JSON Lines" and len(values) > 1 and isinstance(values[0], str) and is_one_column_header(values[0]):
        draft = _list(values[1:], words)
        draft.note(f"the first line {examples([values[0]])} is a header")
        return draft
    if all(isinstance(value, Pairs) for value in values):
        return _records([value for value in values if isinstance(value, Pairs)], words)
    if all(isinstance(value, list) for value in values):
        return _rows([list(value) for value in values if isinstance(value, list)], words)
    if any(isinstance(value, Pairs) for value in values) and all(isinstance(value, Pairs | str) for value in values):
        records = [value if isinstance(value, Pairs) else Pairs([("name", value)]) for value in values]
        return _records(records, words)
    faulty = next(
        (at for at, value in enumerate(values) if value is None or isinstance(value, bool | list | Pairs)), None
    )
    if faulty is not None:
        raise LabelFileError(
            f"the list of labels has {_shown(values[faulty])} at position {faulty}, not a name: {_REMEDY}"
        )
    return _names(values, f"{words} list of names")


def _shown(value: Value) -> str:
    if isinstance(value, list | Pairs):
        return "an object" if isinstance(value, Pairs) else "a list"
    return {None: "null", True: "true", False: "false"}.get(value, repr(value))  # type: ignore[arg-type]


def _names(values: Sequence[Value], words: str) -> LabelDraft:
    rows = [FileRow(name=str(value).strip(), line=line_of(value)) for value in values]
    remedy = 'give each a sense: {"name": …, "sense": …}'
    return LabelDraft(rows=rows, read_as=words, has_line_forms=True, sense_remedy=remedy)


def _records(records: Sequence[Pairs], words: str) -> LabelDraft:
    if all(len(record) == 1 and isinstance(record.values()[0], str | int) for record in records):
        merged = Pairs(member for record in records for member in record)
        if len(set(merged.names())) > 1:  # [{"0": "tench"}, {"1": "goldfish"}]
            return _object(merged, words)
    return records_draft(records, f"{words} list of objects")


def _rows(rows: Sequence[list[Value]], words: str) -> LabelDraft:
    """Lists as rows of a table, or as the synonyms of a label."""
    widths = {len(row) for row in rows}
    lines = [line_of(row) for row in rows]
    if any(isinstance(cell, list | Pairs) for row in rows for cell in row):
        raise LabelFileError(f"has lists inside of lists: {_REMEDY}")
    if len(rows) == 1 and len(rows[0]) > 2 and not any(common_kind([str(cell)]) for cell in rows[0]):
        return _list(rows[0], words)
    if widths == {1}:
        return _list([row[0] for row in rows], words)
    if 0 in widths:
        raise LabelFileError(f"the list of labels has an empty list at position {[len(row) for row in rows].index(0)}")
    if len(widths) == 1:
        header = [str(cell) for cell in rows[0]]
        if len(rows) > 1 and is_header(header, strict=True):
            cells = [TableRow(row, line) for row, line in zip(rows[1:], lines[1:], strict=True)]
            return table_draft(header, cells, f"{words} rows with the header {', '.join(header)}")
        return table_draft(
            [], [TableRow(row, line) for row, line in zip(rows, lines, strict=True)], f"{words} list of rows"
        )
    if not all(isinstance(name, str) for row in rows for name in row):
        raise LabelFileError(f"has lists of different lengths: {_REMEDY}")
    draft = _names([row[0] for row in rows], f"{words} list of synonyms")
    for row, names in zip(draft.rows, rows, strict=True):
        row.aliases = [str(name) for name in names[1:]]
    draft.note("the first of the synonyms is the label, the others are kept as aliases")
    return draft


def _object(members: Pairs, words: str) -> LabelDraft:
    if not len(members):
        raise LabelFileError(f"is an empty object: {_REMEDY}")
    keys, values = members.names(), members.values()
    if all(map(is_number, keys)):
        return _by_index(members, words)
    if draft := _inside(members, words):
        return draft
    if all(isinstance(value, int) and not isinstance(value, bool) or _is_number_text(value) for value in values):
        return _with_numbers(members, words)
    if (kind := common_kind(keys)) or common_kind([value for value in values if isinstance(value, str)]):
        return _by_id(members, kind, words)
    numbered = Pairs((key, value) for key, value in members if is_number(key) and isinstance(value, str))
    if len(numbered) > 1:  # YOLO's `names:` whose map is not indented
        draft = _by_index(numbered, words)
        draft.note(f"dropped the keys: {examples([key for key in keys if not is_number(key)])}")
        return draft
    if has_name_header(keys) and all(not isinstance(value, list | Pairs) for value in values):
        return records_draft([members], f"{words} object")
    records = [value for value in values if isinstance(value, Pairs)]
    if len(records) == len(values) and all(has_id_header(record.names()) for record in records):
        name = "key" if all(has_name_header(record.names()) for record in records) else "name"
        return records_draft(records, f"{words} map of name to object", extra=[(name, [str(key) for key in keys])])
    if len(members) == 1 and isinstance(values[0], Pairs):
        draft = _object(values[0], words)
        draft.note(f'the labels are in "{keys[0]}"')
        return draft
    raise _not_labels(members)


def _is_number_text(value: Value) -> bool:
    return isinstance(value, str) and is_number(value)


def _not_labels(members: Pairs) -> LabelFileError:
    keys, values = members.names(), members.values()
    shown = examples([str(key) for key in keys])
    if all(isinstance(value, list) for value in values):
        return LabelFileError(
            f"maps texts to lists ({shown}): these are attributes (`limbeck attributes import`) or groups of labels, "
            f"and nothing says which: {_REMEDY}"
        )
    if all(isinstance(value, str) for value in values):
        return LabelFileError(f"maps texts to texts ({shown}), and nothing says which is the label: {_REMEDY}")
    return LabelFileError(f"is an object with the keys {shown}, none of which has a list of labels: {_REMEDY}")


def _by_index(members: Pairs, words: str) -> LabelDraft:
    """{"0": "tench"}, {"0": ["n01440764", "tench"]} or {"0": {"name": "tench"}}."""
    keys, values = [str(key) for key in members.names()], members.values()
    if all(isinstance(value, Pairs) for value in values):
        records = [value for value in values if isinstance(value, Pairs)]
        draft = records_draft(records, f"{words} map of index to object", extra=[("index", keys)])
    elif all(isinstance(value, list) for value in values):
        draft = _rows([list(value) for value in values if isinstance(value, list)], words)
        draft.read_as = f"{words} map of index to row"
    elif all(isinstance(value, str) and not is_number(value) for value in values):
        draft = _names(values, f"{words} map of index to name")
        draft.has_line_forms = False
    else:
        raise LabelFileError(f"maps numbers to values that are not names (such as {_shown(values[0])}): {_REMEDY}")
    draft.index_key = "index"
    for row, key in zip(draft.rows, keys, strict=True):
        row.ids["index"] = str(int(key))
    return draft


def _with_numbers(members: Pairs, words: str) -> LabelDraft:
    """{"tench": 0}: an index, or another number such as a count."""
    draft = _names(members.names(), f"{words} map of name to index")
    numbers = [int(str(value)) for value in members.values()]
    if len(set(numbers)) == len(numbers) and (is_dense(numbers) or len(numbers) == 1):
        draft.index_key = "index"
        for row, number in zip(draft.rows, numbers, strict=True):
            row.ids["index"] = str(number)
    else:
        draft.read_as = f"{words} map of name to number"
        draft.note(f"dropped the numbers (such as {numbers[0]}), which do not count the labels")
    draft.has_line_forms = False
    return draft


def _by_id(members: Pairs, kind: str | None, words: str) -> LabelDraft:
    """{"n01440764": "tench, Tinca tinca"}, {"tench": "n01440764"}, or an id and an object or a row."""
    keys, values = [str(key) for key in members.names()], members.values()
    if kind is None:
        kind = common_kind([value for value in values if isinstance(value, str)]) or "id"
        if not all(isinstance(value, str) for value in values):
            raise _not_labels(members)
        keys, values = [str(value) for value in values], list(members.names())
    if all(isinstance(value, Pairs) for value in values):
        records = [value for value in values if isinstance(value, Pairs)]
        return records_draft(records, f"{words} map of {kind} to object", extra=[(kind, keys)])
    if all(isinstance(value, list) for value in values):
        draft = _rows([list(value) for value in values if isinstance(value, list)], words)
    elif all(isinstance(value, str) for value in values):
        draft = _names(values, f"{words} map of {kind} to name")
        draft.has_line_forms = False
    else:
        raise _not_labels(members)
    for row, key in zip(draft.rows, keys, strict=True):
        row.ids.setdefault(kind, key)
    draft.note(f"kept: the {kind} (such as {examples(keys[:1])})")
    return draft


def _inside(members: Pairs, words: str) -> LabelDraft | None:
    """The labels of the list or map inside a document, the one that is the least nested."""
    level: list[tuple[str, Value]] = [("", members)]
    num_visited = 0
    while level and num_visited < _MAX_VISITED:
        found = [
            (path, value) for path, value in _members(level) if _is_container(path, value, is_top=num_visited == 0)
        ]
        if found:
            return _choose(found, words)
        num_visited += len(level)
        level = [(path, value) for path, value in _members(level) if isinstance(value, list | Pairs) and value]
    return None


def _members(level: Sequence[tuple[str, Value]]) -> Iterator[tuple[str, Value]]:
    for path, value in level:
        if isinstance(value, Pairs):
            yield from ((f"{path}.{key}".lstrip("."), inner) for key, inner in value)
        elif isinstance(value, list):
            yield from ((path, inner) for inner in value[:50] if isinstance(inner, list | Pairs))


def _is_container(path: str, value: Value, *, is_top: bool) -> bool:
    key = header_key(path.rpartition(".")[2])
    if not isinstance(value, list | Pairs) or not value:
        return False
    if key in _CONTAINERS:
        return isinstance(value, Pairs) or not all(isinstance(one, int | float) for one in value)
    return (
        is_top
        and key in _RECORD_CONTAINERS
        and isinstance(value, list)
        and all(isinstance(one, Pairs | str) for one in value)
    )


def _choose(found: Sequence[tuple[str, Value]], words: str) -> LabelDraft:
    """The labels of the preferred list. Raises LabelFileError if several lists have different labels."""
    order = {key: rank for rank, key in enumerate((*_CONTAINERS, *_RECORD_CONTAINERS))}
    ranked = sorted(found, key=lambda one: order[header_key(one[0].rpartition(".")[2])])
    of_label = [one for one in ranked if one[0].split(".")[-2:-1] in (["label"], ["labels"])]
    path, value = (of_label or ranked)[0]
    draft = value_draft(value, words)
    draft.note(f'the labels are in "{path}"')
    names = {fold(row.name) for row in draft.rows}
    for other_path, other in () if of_label else ranked[1:]:
        try:
            others = value_draft(other, words).rows
        except LabelFileError:
            continue
        if {fold(row.name) for row in others} != names:
            if path.endswith("id2label"):
                draft.warn(f'"{other_path}" has other labels than "{path}", which was taken')
                continue
            raise LabelFileError(
                f'has several lists of labels: "{path}" ({len(draft.rows):,}) and "{other_path}" ({len(others):,}): '
                "give the one that you want as a file of its own"
            )
    return draft
