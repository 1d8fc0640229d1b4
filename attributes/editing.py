"""Edits of the lines of one label by a person: add, edit, delete, lock, replace.

Each function takes the lines of an entry and returns the new lines, or raises `EditError` with a pointer to the faulty
field. A line that a person wrote or changed has origin `human`, and later enrichments keep it. A changed line of an
LLM keeps its `strategy` and `call`, which name its source.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from attributes.flags import FLAGS, flags_of
from attributes.prompts.strategy import StrategyError, load_strategy
from attributes.text import has_content
from attributes.types import Entry, Line, LineKind
from limbeck.shared.labels import normalize, text_fault

_SPACES = re.compile(r"[ \u00a0\u2000-\u200a\u202f\u3000]+")
MAX_LINES = 500
MAX_TEXT_CHARS = 5_000
MAX_FIELD_CHARS = 500
TEXT_FIELDS = ("text", "part", "value", "about", "other_value")
FIELDS_OF_KIND: Mapping[LineKind, frozenset[str]] = {
    "sentence": frozenset(),
    "phrase": frozenset({"part", "value"}),
    "answer": frozenset({"about"}),
    "contrast": frozenset({"part", "value", "about", "other_value"}),
    "caption": frozenset(),
}
"""The fields besides `text` that a line of each kind can have."""

Lines = tuple[Line, ...]
LabelResolver = Callable[[str], str | None]
"""Returns the label that a text names, as `str(Label)`; None if it names no label, or the label of the line itself."""


@dataclass(frozen=True, kw_only=True)
class LineChange:
    """New values for the fields of a line; None keeps the value of an existing line. `id` is used by `replace_all`."""

    id: str | None = None
    kind: LineKind | None = None
    text: str | None = None
    part: str | None = None
    value: str | None = None
    about: str | None = None
    other_value: str | None = None
    locked: bool | None = None


class EditError(ValueError):
    """Why an edit is invalid. `pointer` is the path from the operation to the faulty field, such as `/text`."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.detail = detail


def add(lines: Lines, change: LineChange, resolve: LabelResolver, *, before: str | None = None) -> Lines:
    """Add a line at the end, or before the line with id `before`."""
    index = len(lines) if before is None else _index_of(lines, before, "/before")
    line = _new_line(change, resolve)
    _check_unique(lines, line)
    if len(lines) >= MAX_LINES:
        raise EditError("", f"the label has {len(lines)} lines; at most {MAX_LINES} are allowed")
    return (*lines[:index], line, *lines[index:])


def edit(lines: Lines, id: str, change: LineChange, resolve: LabelResolver) -> Lines:
    """Change the first line with this id."""
    index = _index_of(lines, id)
    line = _changed_line(lines[index], change, resolve)
    _check_unique((*lines[:index], *lines[index + 1 :]), line)
    return (*lines[:index], line, *lines[index + 1 :])


def remove(lines: Lines, id: str) -> Lines:
    """Remove the first line with this id."""
    index = _index_of(lines, id)
    return (*lines[:index], *lines[index + 1 :])


def lock(lines: Lines, id: str | None, locked: bool) -> Lines:
    """Lock or unlock the lines with this id, or all lines if `id` is None. Their origin does not change."""
    if id is not None:
        _index_of(lines, id)
    return tuple(replace(line, locked=locked) if id in (None, line.id) else line for line in lines)


def replace_all(lines: Lines, changes: Sequence[LineChange], resolve: LabelResolver) -> Lines:
    """Replace all lines, in the order of `changes`.

    A change with an `id` edits that line. A change without one continues the existing line with the same content, or
    adds a new line.
    """
    if len(changes) > MAX_LINES:
        raise EditError("/lines", f"has {len(changes)} lines; at most {MAX_LINES} are allowed")
    result: Lines = ()
    for index, change in enumerate(changes):
        try:
            line = _replacement(lines, change, resolve)
            _check_unique(result, line)
        except EditError as error:
            raise EditError(f"/lines/{index}{error.pointer}", error.detail) from None
        result = (*result, line)
    return result


def recompute_flags(entry: Entry) -> tuple[str, ...]:
    """The flags of an edited entry: without limits, and by the limits of each strategy that its lines came from.

    The limits of a strategy apply to its own lines and to lines of the same kinds that people wrote. Its numbers of
    lines apply only if it has one question per label, because they limit a single response. Strategies that are not
    shipped are ignored.
    """
    if not entry.lines:
        return ()
    flags = set(flags_of(entry))
    for ref in sorted({line.strategy for line in entry.lines if line.strategy}):
        try:
            strategy = load_strategy(ref)
        except StrategyError:
            continue
        kinds = {line.kind for line in entry.lines if line.strategy == ref}
        lines = tuple(
            line for line in entry.lines if line.strategy == ref or (not line.strategy and line.kind in kinds)
        )
        limits, required = strategy.limits, strategy.response_fields
        if strategy.about != "label" or strategy.num_questions > 1:
            limits, required = replace(limits, min_phrases=0, max_phrases=MAX_LINES), frozenset()
        flags |= set(flags_of(replace(entry, lines=lines), limits, required=required))
    return tuple(flag for flag in FLAGS if flag in flags)


def _replacement(lines: Lines, change: LineChange, resolve: LabelResolver) -> Line:
    """The line of one change of `replace_all`."""
    if change.id:
        return _changed_line(lines[_index_of(lines, change.id, "/id")], change, resolve)
    line = _new_line(change, resolve)
    same = next((old for old in lines if old.id == line.id), None)
    return line if same is None else _changed_line(same, change, resolve)


def _new_line(change: LineChange, resolve: LabelResolver) -> Line:
    kind = change.kind or "phrase"
    fields = dict.fromkeys(TEXT_FIELDS, "") | _given_texts(change, kind)
    if not fields["text"]:
        raise EditError("/text", "is missing")
    if kind == "contrast":
        fields["about"] = _resolved_label(fields["about"], resolve)
    return Line(kind, origin="human", locked=bool(change.locked), **fields)


def _changed_line(old: Line, change: LineChange, resolve: LabelResolver) -> Line:
    """The old line with the change. It gets origin `human` only if its content changes."""
    kind = change.kind or old.kind
    fields = {name: getattr(old, name) for name in TEXT_FIELDS} | _given_texts(change, kind)
    if kind != old.kind:
        allowed = FIELDS_OF_KIND[kind]
        fields = {name: text if name == "text" or name in allowed else "" for name, text in fields.items()}
    if kind == "contrast" and (kind != old.kind or fields["about"] != old.about):
        fields["about"] = _resolved_label(fields["about"], resolve)
    locked = old.locked if change.locked is None else change.locked
    line = replace(old, kind=kind, origin="human", locked=locked, **fields)
    return replace(line, origin=old.origin) if line.id == old.id else line


def _given_texts(change: LineChange, kind: LineKind) -> dict[str, str]:
    """The normalized text fields that the change gives. Raises EditError."""
    texts: dict[str, str] = {}
    for name in TEXT_FIELDS:
        given: str | None = getattr(change, name)
        if given is None:
            continue
        text = _SPACES.sub(" ", normalize(given))  # as in an import, so that an export can be read back
        if text and name != "text" and name not in FIELDS_OF_KIND[kind]:
            raise EditError(f"/{name}", f"a line of kind {kind} has no {name}")
        max_chars = MAX_TEXT_CHARS if name == "text" else MAX_FIELD_CHARS
        if (text or name == "text") and (fault := text_fault(text, max_chars)):
            raise EditError(f"/{name}", fault)
        if name == "text" and not has_content(text):
            raise EditError("/text", "has no letter or digit")
        texts[name] = text
    return texts


def _resolved_label(about: str, resolve: LabelResolver) -> str:
    if not about:
        raise EditError("/about", "must name the label that this label is contrasted with")
    label = resolve(about)
    if label is None:
        detail = 'names no other label of the vocabulary; write its name, with its sense in brackets: "crane (bird)"'
        raise EditError("/about", detail)
    return label


def _index_of(lines: Lines, id: str, pointer: str = "/line") -> int:
    index = next((index for index, line in enumerate(lines) if line.id == id), None)
    if index is None:
        raise EditError(pointer, f"the label has no line {id[:20]!r}; a line gets a new id when it is edited")
    return index


def _check_unique(lines: Lines, line: Line) -> None:
    if any(other.id == line.id for other in lines):
        raise EditError("/text", f"says the same as line {line.id}; change one of the two lines")
