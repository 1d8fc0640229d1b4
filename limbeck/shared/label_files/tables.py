"""Rows with columns as labels: which column has the names, which have senses, ids and aliases, and which are dropped.

Columns are recognised by their header, and by what is in them: a column `label` of numbers is an index, and the names
are in another column. Without a header, the column that is not an identifier has the names.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.shared.label_files.identifiers import common_kind, is_dense, is_number
from limbeck.shared.label_files.types import (
    FileRow,
    LabelDraft,
    LabelFault,
    LabelFileError,
    Pairs,
    Value,
    examples,
    faults_error,
    line_of,
)
from limbeck.shared.labels import fold
from limbeck.shared.text import counted

# In the order in which they are preferred.
_NAMES = """
    name label label_name labelname class_name classname class_label display_name displayname labeldisplayname
    label_display_name category_name categoryname species_name concept_name object_name english_name english name_en
    label_en common_name commonname english_common_name preferred_common_name
    primary_com_name com_name comname vernacular_name vernacularname label_text text_label labels names classes
    class_names class category species label_category concept object word words term title text lemma itemlabel
    prompt_name readable_name human_readable synset_words caption value preferred_label preflabel
    nom nombre nome bezeichnung klasse classe clase naam scientific_name
    taxon_name breed variant make_model model
""".split()  # noqa: SIM905
_SENSES = "sense meaning disambiguation qualifier word_sense".split()  # noqa: SIM905
_ALIASES = "synonyms synonym aliases alias aka alt_names altlabel alt_labels other_names alternative_names".split()  # noqa: SIM905
_OTHER_NAMES = """
    common_name commonname english_common_name preferred_common_name scientific_name display_name displayname
    english_name vernacular_name vernacularname
""".split()  # noqa: SIM905
_GROUPS = """
    supercategory super_category superclass super_class coarse_label group parent supergroup folder family kind
    definition gloss def
""".split()  # noqa: SIM905
_INDEXES = "index idx id class_id classid label_id labelid category_id class_index class_idx label_index number num position no nr".split()  # noqa: SIM905, E501
_IDS = """
    wnid wordnet_id synset synset_id imagenet_id mid freebase_id qid wikidata wikidata_id item uuid guid code key folder
    dir directory image_dir_name taxon_id taxonid gbif_id inat_id ebird_code species_code slug uri url ids coco_id
""".split()  # noqa: SIM905
_GENERIC_NAME = re.compile(r"(?:.*_)?(?:name|label|class|category|species|title)(?:_(?:en|eng|english|text|name))?")
_HEADER_CELL = re.compile(r"[^\W\d][\w .#/()-]{0,40}|#|")


@dataclass(frozen=True)
class TableRow:
    """The cells of a row, with its line in the file."""

    cells: Sequence[Value]
    line: int | None = None


@dataclass
class _Column:
    position: int
    header: str  # as in the file; empty if the table has no header
    texts: list[str]
    kind: str | None  # of identifiers; None for names, "" for an empty column
    has_lists: bool = False

    @property
    def key(self) -> str:
        return header_key(self.header)

    @property
    def words(self) -> str:
        return f'column "{self.header}"' if self.header else f"column {self.position + 1}"


def header_key(text: str) -> str:
    """A header as it is compared: `Class Name`, `class-name` and `className` are `class_name`."""
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text.strip().strip("\ufeff"))
    return re.sub(r"\W+", "_", text.lower()).strip("_")


def is_header(cells: Sequence[str], *, strict: bool = False) -> bool:
    """Whether a first row is a header: short words, one of which names a column of names, or all of which are known.

    `strict`: at least one other cell must be known as well, because the row could be a label with a comma.
    """
    keys = [header_key(cell) for cell in cells]
    if not all(_HEADER_CELL.fullmatch(cell.strip()) for cell in cells) or len(set(keys)) < len(keys):
        return False
    known = {*_NAMES, *_SENSES, *_ALIASES, *_GROUPS, *_INDEXES, *_IDS}
    num_known = sum(key in known or _GENERIC_NAME.fullmatch(key) is not None or not key for key in keys)
    return (has_name_header(cells) and (not strict or num_known > 1)) or num_known == len(keys) > 1


def has_name_header(cells: Sequence[str]) -> bool:
    """Whether one of the headers is of names."""
    return any(key in _NAMES or _GENERIC_NAME.fullmatch(key) for key in map(header_key, cells))


def has_id_header(cells: Sequence[str]) -> bool:
    """Whether one of the headers is of ids."""
    return any(header_key(cell) in (*_IDS, *_INDEXES) for cell in cells)


def table_draft(
    header: Sequence[str], rows: Sequence[TableRow], read_as: str, *, tab_sense: bool = False
) -> LabelDraft:
    """The labels of a table; an empty `header` means that there is none. Raises LabelFileError.

    `tab_sense`: of two columns of text, the second has the senses.
    """
    width = len(header) or max(len(row.cells) for row in rows)
    columns = [_column(rows, position, header) for position in range(width)]
    name = _name_column(columns, tab_sense=tab_sense)
    if not any(name.texts):
        raise LabelFileError(f"{name.words} has no texts: give each label a name that is a text")
    draft = LabelDraft(rows=[], read_as=read_as, sense_remedy=_sense_remedy(header))
    draft.rows = [FileRow(name=text, line=row.line) for text, row in zip(name.texts, rows, strict=True)]
    if len(columns) > 1:
        draft.note(f"the label is {name.words}")
    dropped, kept = [], []
    for column in columns:
        if column is name or (column.kind == "" and not column.header):
            continue
        if words := _take(draft, column, rows, name, tab_sense=tab_sense):
            kept.append(words)
        else:
            dropped.append(column)
    if kept:
        draft.note("kept: " + ", ".join(kept))
    if dropped:
        shown = ", ".join(f"{column.words}{_example(column)}" for column in dropped)
        draft.note(f"dropped: {shown}")
    return draft


def _example(column: _Column) -> str:
    texts = [text for text in column.texts if text]
    return f" (such as {examples(texts[:1])})" if texts else " (lists)" if column.has_lists else " (empty)"


def _sense_remedy(header: Sequence[str]) -> str:
    return "give each a sense in a column `sense`" if header else "add a header, with a column `sense` for them"


def _column(rows: Sequence[TableRow], position: int, header: Sequence[str]) -> _Column:
    texts = [_text(row.cells[position]) if position < len(row.cells) else "" for row in rows]
    filled = [text for text in texts if text]
    kind = common_kind(filled) if filled else ""
    has_lists = any(isinstance(row.cells[position], list | Pairs) for row in rows if position < len(row.cells))
    return _Column(position, header[position] if header else "", texts, kind, has_lists)


def _text(cell: Value) -> str:
    """A cell as text. A list or object is none."""
    if cell is None or isinstance(cell, list | Pairs):
        return ""
    return str(cell).strip()


def _name_column(columns: Sequence[_Column], *, tab_sense: bool) -> _Column:
    texts = [column for column in columns if column.kind is None]
    if columns[0].header or len(columns) == 1:
        found = _name_by_header(columns, texts)
    elif len(texts) == 1 or (tab_sense and len(texts) == 2):
        return texts[0]
    else:
        found = _same_names(texts)
    if found is not None:
        return found
    if not texts:
        kinds = ", ".join(
            f"{column.words}: {examples([text for text in column.texts if text][:2])}" for column in columns
        )
        raise LabelFileError(
            f"has only ids and numbers ({kinds[:200]}): add the names, because an LLM cannot use an id"
        )
    names = " and ".join(f"{column.words}{_example(column)}" for column in texts[:4])
    raise LabelFileError(
        f"has {counted(len(texts), 'column')} of text, and nothing says which has the labels: {names}; "
        + ("rename the one with the labels to `name`" if columns[0].header else "add a header with a column `name`")
    )


def _name_by_header(columns: Sequence[_Column], texts: Sequence[_Column]) -> _Column | None:
    """The column of names by its header, among those that do not hold ids; else the only column of text."""
    if len(columns) == 1:
        return columns[0]
    named = [column for key in _NAMES for column in texts if column.key == key]
    if named:  # not a column of groups, such as eBird's CATEGORY, if another has the names
        is_group = named[0].key in ("category", "class", "species") and _is_repeated(named[0])
        distinct = [column for column in named[1:] if "name" in column.key and not _is_repeated(column)]
        return distinct[0] if is_group and distinct else named[0]
    others = {*_SENSES, *_ALIASES, *_GROUPS, *_IDS}
    free = [column for column in texts if column.key not in others]
    generic = [column for column in free if _GENERIC_NAME.fullmatch(column.key)]
    if generic:
        return generic[0]
    if len(free) == 1:
        return free[0]
    if len(texts) == 1 and texts[0].key not in (*_SENSES, *_ALIASES):
        return texts[0]
    known = [column for column in columns if column.key in _NAMES and column.kind == ""]
    return known[0] if known and not texts else None


def _is_repeated(column: _Column) -> bool:
    """Whether most cells of a column repeat others."""
    return len(column.texts) > 1 and len({fold(text) for text in column.texts}) <= len(column.texts) / 2


def _same_names(texts: Sequence[_Column]) -> _Column | None:
    """Of columns that spell the same names (`001.Laysan_Albatross`, `Laysan_Albatross`) the last; else None."""
    if len(texts) < 2:
        return None
    first, last = ([plain_name(text) for text in column.texts] for column in (texts[0], texts[-1]))
    num_same = sum(a == b for a, b in zip(first, last, strict=True))
    return texts[-1] if len(texts) == 2 and num_same > len(first) / 2 else None


def plain_name(text: str) -> str:
    """A name without number, underscores, hyphens and case, as folders of datasets spell it."""
    return fold(re.sub(r"[\W_]+", " ", re.sub(r"^\d+[._-]", "", text)))


def _take(draft: LabelDraft, column: _Column, rows: Sequence[TableRow], name: _Column, *, tab_sense: bool) -> str:
    """Add a column to the labels. Returns what it became, in words; empty if the column is dropped."""
    key = column.key
    if tab_sense and column.kind is None and not column.header:
        return _take_sense(draft, column)
    if key in _SENSES:
        return _take_sense(draft, column)
    if key in ("ids", "aliases") or key in _ALIASES or (key in _OTHER_NAMES and column.kind is None):
        return _take_aliases(draft, column, rows)
    if not column.header or (key in _NAMES and column.kind) or key in _INDEXES or key in _IDS or not key:
        return _take_ids(draft, column, name)
    if column.kind not in (None, "", "number", "placeholder", "file name", "url", "mixed"):
        return _take_ids(draft, column, name)
    if key in _GROUPS:
        for row, text in zip(draft.rows, column.texts, strict=True):
            row.groups += [text] if text else []
    return ""


def _take_sense(draft: LabelDraft, column: _Column) -> str:
    for row, text in zip(draft.rows, column.texts, strict=True):
        row.sense = text
    return f"{column.words} as the sense" if any(column.texts) else ""


def _take_aliases(draft: LabelDraft, column: _Column, rows: Sequence[TableRow]) -> str:
    for row, table_row, text in zip(draft.rows, rows, column.texts, strict=True):
        cell = table_row.cells[column.position] if column.position < len(table_row.cells) else None
        if isinstance(cell, Pairs):
            row.ids |= {key: str(value) for key, value in cell if isinstance(value, str | int)}
            aliases = cell.find("aliases")
        else:
            aliases = cell
        if isinstance(aliases, list):
            row.aliases += [str(alias) for alias in aliases if isinstance(alias, str)]
        elif text:
            row.aliases += [
                part for part in map(str.strip, re.split(r"[;|]|,\s(?![^()]*\))", text)) if part != row.name and part
            ]
    return f"{column.words} as metadata" if any(row.aliases or row.ids for row in draft.rows) else ""


def _take_ids(draft: LabelDraft, column: _Column, name: _Column) -> str:
    column.texts = [re.sub(r"(?<=\d)[.):]$", "", text) for text in column.texts]
    filled = [text for text in column.texts if text]
    if not filled or (not column.header and column.kind is None and plain_name(filled[0]) != plain_name(name.texts[0])):
        return ""
    numbers = [int(text) for text in filled if is_number(text)]
    is_sequence = len(numbers) == len(column.texts) and is_dense(numbers)
    if not column.header and column.kind == "number" and not is_sequence and len(set(filled)) < len(filled):
        return ""
    if not column.key:
        key = "index" if is_sequence else column.kind or "folder"
    else:
        key = column.key if column.key in (*_IDS, *_INDEXES) or column.kind in (None, "number") else column.kind
    if is_sequence and not draft.index_key:
        draft.index_key = key
    for row, text in zip(draft.rows, column.texts, strict=True):
        if text and key not in row.ids:
            row.ids[key] = text
    return f'{column.words} as "{key}"'


def records_draft(
    records: Sequence[Pairs], read_as: str, *, extra: Sequence[tuple[str, Sequence[str]]] = ()
) -> LabelDraft:
    """The labels of a list of objects. `extra`: further columns, such as the keys under which the objects were."""
    keys = list(dict.fromkeys([name for name, _ in extra] + [str(key) for record in records for key in record.names()]))
    columns = dict(extra)
    lines = [line_of(record) for record in records]
    rows = [
        TableRow([columns[key][at] if key in columns else record.find(key) for key in keys], lines[at])
        for at, record in enumerate(records)
    ]
    draft = table_draft(keys, rows, read_as)
    draft.sense_remedy = 'give each a field "sense"'
    return draft


def check_widths(rows: Sequence[TableRow], header: Sequence[str]) -> None:
    """Raise LabelFileError for rows with more or fewer fields than the header. Empty ones at the end are ignored."""
    faults = []
    for row in rows:
        cells = list(row.cells)
        while len(cells) > len(header) and not _text(cells[-1]):
            cells.pop()
        if len(cells) != len(header):
            remedy = "; put a value with the separator in quotes" if len(cells) > len(header) else ""
            faults.append(
                LabelFault(f"has {counted(len(cells), 'field')}, but the header has {len(header)}{remedy}", row.line)
            )
    if faults:
        raise faults_error(faults)
