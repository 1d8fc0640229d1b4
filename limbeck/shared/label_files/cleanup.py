"""The last steps for all forms: synonyms, order, underscores, senses of repeated names, and the checks.

The rule of labels is in `limbeck.shared.labels`; here its faults get the lines of the file.
"""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from limbeck.shared.label_files.identifiers import STRONG_KINDS, common_kind, id_kind
from limbeck.shared.label_files.lines import strip_line_forms
from limbeck.shared.label_files.tables import plain_name
from limbeck.shared.label_files.types import (
    MAX_FAULTS,
    FileLabel,
    FileRow,
    LabelDraft,
    LabelFault,
    LabelFileError,
    examples,
    faults_error,
)
from limbeck.shared.labels import (
    LabelPair,
    dataset_form,
    duplicates,
    fold,
    missing_senses,
    name_fault,
    normalize,
    sense_fault,
)
from limbeck.shared.text import counted

_LATIN = re.compile(r"[A-Z][a-z]{2,} [a-z]{3,}")
_KIND_WORDS = {
    "number": "a number",
    "wnid": "a WordNet id",
    "mid": "a Freebase id",
    "qid": "a Wikidata id",
    "placeholder": "a placeholder",
    "file name": "the name of a file",
    "url": "a URL",
    "mixed": "an id",
}

_SPECIAL = (
    ".ds_store",
    "thumbs.db",
    "desktop.ini",
    "background",
    "background_google",
    "ignore",
    "void",
    "unlabeled",
    "unlabelled",
    "n/a",
    "nan",
    "none",
    "null",
)

_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")  # no-break spaces and others
_ENTITY = re.compile(
    r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z]{2,8}(?:acute|grave|uml|cedil|tilde|circ));"
)
_MIN_UNDERSCORED = 5  # names with underscores, for each name with a space

NameFault = Callable[[str, str | None], str | None]
"""Why a name (with its sense) is invalid, or None."""


def clean_labels(draft: LabelDraft, fault_of_name: NameFault | None = None) -> list[FileLabel]:
    """The labels of a draft, in order. Adds to its notes and warnings. Raises LabelFileError with all faults."""
    _clean_names(draft)
    _drop_placeholders(draft)
    strip_line_forms(draft)
    _drop_definitions(draft)
    _split_synonyms(draft)
    _sort_by_index(draft)
    _refuse_ids(draft)
    _replace_underscores(draft)
    _give_senses(draft)
    for row in draft.rows:
        row.name, row.sense = normalize(row.name), normalize(row.sense)
    _check(draft, fault_of_name or (lambda name, _: name_fault(name)))
    if warning := spellings_warning((row.name, row.sense) for row in draft.rows):
        draft.warn(warning)
    return [_label(row) for row in draft.rows]


def _label(row: FileRow) -> FileLabel:
    ids: dict[str, str | list[str]] = {**row.ids}
    aliases = [alias for alias in dict.fromkeys(row.aliases) if plain_name(alias) != plain_name(row.name)]
    if aliases:
        ids["aliases"] = aliases
    return FileLabel(name=row.name, sense=row.sense or None, ids=ids, line=row.line)


def _clean_names(draft: LabelDraft) -> None:
    """Write no-break spaces and others as spaces, and HTML's entities as characters."""
    entities = []
    for row in draft.rows:
        row.name = row.name if row.name.isascii() else _SPACES.sub(" ", row.name).strip()
        if "&" in row.name and (plain := unescape_entities(row.name)) != row.name:
            entities.append(row.name)
            row.name = plain
    if entities:
        draft.note(f"HTML entities became characters (such as {examples(entities[:1])})")


def unescape_entities(text: str) -> str:
    """The text with characters for HTML's entities."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), text)


def _drop_placeholders(draft: LabelDraft) -> None:
    """Remove `???`, as in the label maps of TensorFlow Lite, and repeated `N/A`, as in torchvision's list of COCO."""
    unknown = [row for row in draft.rows if re.fullmatch(r"\?+", row.name)]
    absent = [row for row in draft.rows if fold(row.name) == "n/a"]
    dropped = unknown + (absent if len(absent) > 1 else [])
    if dropped and len(dropped) < len(draft.rows):
        draft.rows = [row for row in draft.rows if row not in dropped]
        draft.warn(
            f"dropped {counted(len(dropped), 'placeholder')} ({examples([dropped[0].name])}), which name no label"
        )


def _drop_definitions(draft: LabelDraft) -> None:
    """`n00005787 benthos: organisms that live at the bottom of a sea`: the name is before the colon."""
    if len(draft.rows) < 2 or not all("wnid" in row.ids and re.search(r"\S: \S", row.name) for row in draft.rows):
        return
    draft.note(f"the definition after each label was dropped (such as {examples([draft.rows[0].name])})")
    for row in draft.rows:
        row.name = row.name.partition(": ")[0]


def _split_synonyms(draft: LabelDraft) -> None:
    """`tench, Tinca tinca`: the first synonym is the name. Only beside ids, because a name can have a comma."""
    if all(row.ids for row in draft.rows) and any(";" in row.name for row in draft.rows):  # as in ADE20K
        for row in draft.rows:
            row.name = re.sub(r"\s*;\s*", ", ", row.name.strip("; "))
        draft.note("semicolons separate synonyms")
    with_comma = [row for row in draft.rows if ", " in row.name]
    if not with_comma:
        if joined := [row.name for row in draft.rows if re.search(r"\D,\D", row.name)]:
            draft.note(f"names with commas were kept whole, such as {examples(joined[:1])}")
        return
    has_wnids = all("wnid" in row.ids for row in draft.rows) or "semicolons separate synonyms" in draft.notes
    are_lists = any(re.search(r",\s+(?:and|or|&)\s", row.name) for row in with_comma)  # "Ducks, Geese, and Swans"
    if not all(row.ids for row in draft.rows) or not (
        has_wnids or (not are_lists and any(map(_are_synonyms, with_comma)))
    ):
        draft.note(f"names with commas were kept whole, such as {examples([with_comma[0].name])}")
        return
    shown = with_comma[0].name
    for row in with_comma:
        first, *others = (part.strip() for part in row.name.split(","))
        if first:
            row.name = first
            row.aliases += [part for part in others if part]
    draft.note(
        f"{counted(len(with_comma), 'label')} with synonyms: the first is the name, the others are kept as aliases "
        f"(such as {examples([shown])})"
    )


def _are_synonyms(row: FileRow) -> bool:
    """Whether the commas of a name separate synonyms: three of them, or one is a Latin name."""
    _, *others = row.name.split(", ")
    return len(others) > 1 or any(_LATIN.fullmatch(other) for other in others)


def _sort_by_index(draft: LabelDraft) -> None:
    key = draft.index_key
    if not key or not all(row.ids.get(key, "").isdigit() for row in draft.rows):
        return
    indexes = [int(row.ids[key]) for row in draft.rows]
    if indexes != sorted(indexes):
        draft.rows.sort(key=lambda row: int(row.ids[key]))
        draft.note(f"sorted by {key}")
    if len(set(indexes)) < len(indexes):
        repeated = next(a for a, b in pairwise(sorted(indexes)) if a == b)
        draft.warn(f"the {key} {repeated} is given to several labels")
    gaps = [(a + 1, b - 1) for a, b in pairwise(sorted(indexes)) if b > a + 1]
    if gaps:
        num_missing = sum(b - a + 1 for a, b in gaps)
        shown = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in gaps[:3]) + (" …" if len(gaps) > 3 else "")
        draft.warn(f"the {key} has gaps ({counted(num_missing, 'number')} missing: {shown})")


def _replace_underscores(draft: LabelDraft) -> None:
    """Underscores become spaces if no name of the file has a space, or hardly any, as `arcade (passageway)`."""
    num_spaced = sum(" " in row.name.strip() for row in draft.rows)
    pattern = r"[^_]_+[^_]" if num_spaced else r"[^_]_+[^_]|\w\+\w"
    changed = [row for row in draft.rows if re.search(pattern, row.name)]
    if not changed or num_spaced > len(changed) / _MIN_UNDERSCORED:
        return
    shown = changed[0].name
    for row in changed:
        row.name = " ".join(re.sub(r"_|(?<=\w)\+(?=\w)", " ", row.name).split())
    draft.note(f"underscores became spaces in {counted(len(changed), 'name')}, such as {examples([shown])}")


def _refuse_ids(draft: LabelDraft) -> None:
    """Refuse a file whose labels are identifiers: an LLM cannot describe them."""
    names = [row.name for row in draft.rows]
    remedy = "add the names, for example as a second column, because an LLM cannot use an id"
    if kind := common_kind(names):
        words = _KIND_WORDS.get(kind, f"an id ({kind})")
        raise LabelFileError(f"every label is {words}, such as {examples(names)}: {remedy}")
    strong = [(at, row) for at, row in enumerate(draft.rows) if id_kind(row.name) in STRONG_KINDS]
    if strong:
        detail = f"is an id, not a name: {remedy}"
        raise faults_error([LabelFault(detail, row.line, at, label=row.name) for at, row in strong])
    if special := [name for name in names if fold(name.strip("_")) in _SPECIAL]:
        draft.warn(f"{examples(special)} is not a thing that an image shows: remove it if it is not meant")
    weak = [name for name in names if id_kind(name)]
    if weak:
        draft.warn(f"{counted(len(weak), 'label')} may be an id or a number, not a name: {examples(weak)}")


def spellings_warning(labels: Iterable[LabelPair]) -> str:
    """The warning of labels that differ in their spelling alone, as folders are compared: `Great_Tit` and `great tit`.

    Empty if there are none, or if each of them has a sense.
    """
    by_form: dict[str, dict[str, str]] = {}
    lack_sense: set[str] = set()
    for name, sense in labels:
        form = dataset_form(name)
        by_form.setdefault(form, {}).setdefault(fold(name), normalize(name))
        if not fold(sense or ""):
            lack_sense.add(form)
    alike = [" = ".join(names.values()) for form, names in by_form.items() if len(names) > 1 and form in lack_sense]
    if not alike:
        return ""
    return (
        f"{counted(len(alike), 'name is', 'names are')} written in several ways, each of which is a label of its own: "
        f"{examples(alike)}; keep one, or give each a sense"
    )


def _give_senses(draft: LabelDraft) -> None:
    """Tell repeated names apart by a synonym, a group such as the folder, or as the last resort an id."""
    by_name: dict[str, list[FileRow]] = {}
    for row in draft.rows:
        by_name.setdefault(fold(row.name), []).append(row)
    given, only_ids = [], []
    for rows in by_name.values():
        if len(rows) < 2 or any(row.sense for row in rows):
            continue
        senses = [_sense(row, rows) for row in rows]
        if not all(senses) or len({fold(sense) for sense in senses}) < len(senses):
            continue
        for row, sense in zip(rows, senses, strict=True):
            row.sense = sense
            given.append(f"{row.name} ({sense})")
            if id_kind(sense):
                only_ids.append(f"{row.name} ({sense})")
    if given:
        draft.note(
            f"{counted(len(given), 'label shares', 'labels share')} their names and got a sense: {examples(given)}"
        )
    if only_ids:
        draft.warn(
            f"the sense of {counted(len(only_ids), 'label')} is only an id, which says nothing: replace it in the file"
        )


def _sense(row: FileRow, rows: Sequence[FileRow]) -> str:
    taken = {fold(row.name)}
    for others in rows:
        if others is not row:
            taken |= {fold(text) for text in (*others.aliases, *others.groups)}
    words = [text for text in (*row.aliases, *row.groups) if fold(text) not in taken and not id_kind(text)]
    if words:
        return words[0].replace("_", " ")
    strong = [id for key, id in row.ids.items() if id_kind(id) in STRONG_KINDS and key != "path"]
    return next(iter(strong), "")


def _check(draft: LabelDraft, fault_of_name: NameFault) -> None:
    """Raise LabelFileError with all invalid labels, in the order of the file."""
    pairs: list[LabelPair] = [(row.name, row.sense or None) for row in draft.rows]
    first_of = dict(duplicates(pairs))
    faults = []
    for at, row in enumerate(draft.rows):
        if fault := fault_of_name(row.name, row.sense or None):
            faults.append(LabelFault(fault, row.line, at, "name", row.name))
        elif fault := sense_fault(row.sense):
            faults.append(LabelFault(fault, row.line, at, "sense", row.name))
        elif at in first_of:
            faults.append(LabelFault(_repeated(draft, first_of[at]), row.line, at, "name", row.name))
    if not faults:
        for at, other in missing_senses(pairs):
            row = draft.rows[at]
            faults.append(LabelFault(_repeated(draft, other), row.line, at, "sense", row.name))
    if len(first_of) > len(pairs) / 2 and len(pairs) > 3:
        detail = (
            f"has {counted(len(pairs), 'row')} and only "
            f"{counted(len(pairs) - len(first_of), 'different label')}: give each once"
        )
        raise LabelFileError(f"{detail}; {faults_error(faults)}", faults[:MAX_FAULTS], len(faults))
    if faults:
        raise faults_error(faults)


def _repeated(draft: LabelDraft, other: int) -> str:
    line = draft.rows[other].line
    place = f"on line {line}" if line else f"label {other + 1}"
    return f"is also {place}; {draft.sense_remedy}"
