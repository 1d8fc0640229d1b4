"""What a person does to the lines of one label: add, edit, delete, lock, replace.

Each function takes an entry's lines and gives the new ones, or raises `EditError` with the place in what was asked.
A line that a person wrote or reworded has origin `human`, which every later enrichment keeps; one that was an LLM's
before keeps its `strategy` and `call`, so that it can still be told what it was made of.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from attributes.flags import FLAGS, flags_of
from attributes.prompts.strategy import StrategyError, load_strategy
from attributes.text import fault_of, has_content, normalize
from attributes.types import Entry, Line, LineKind

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
"""Which fields a line of this kind may have beside its text."""

Lines = tuple[Line, ...]
LabelResolver = Callable[[str], str | None]
"""The label that a text names, as `str(Label)` has it, or None where it names none, or the line's own."""


class EditError(ValueError):
    """Why a change cannot be made; `pointer` leads from the operation to the culprit (`/text`)."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(detail)
        self.pointer = pointer
        self.detail = detail


def add(lines: Lines, given: Mapping[str, Any], canonical: LabelResolver, *, before: str | None = None) -> Lines:
    """The lines with one more, at the end or before the line of that id. `given`: `kind`, `text` and what else fits."""
    at = len(lines) if before is None else _find(lines, before, "/before")
    made = _made(given, None, canonical)
    _refuse_twin(lines, made)
    if len(lines) >= MAX_LINES:
        raise EditError("", f"the label has {len(lines)} lines; at most {MAX_LINES} are allowed")
    return (*lines[:at], made, *lines[at:])


def edit(lines: Lines, id: str, given: Mapping[str, Any], canonical: LabelResolver) -> Lines:
    """The lines with the fields `given` of one of them changed. Of two lines that say the same the first is meant."""
    at = _find(lines, id)
    made = _made(given, lines[at], canonical)
    _refuse_twin((*lines[:at], *lines[at + 1 :]), made)
    return (*lines[:at], made, *lines[at + 1 :])


def remove(lines: Lines, id: str) -> Lines:
    """The lines without one of them. Of two lines that say the same the first goes."""
    at = _find(lines, id)
    return (*lines[:at], *lines[at + 1 :])


def lock(lines: Lines, id: str | None, locked: bool) -> Lines:
    """The lines with one of them, or all of them, locked or unlocked; whose words they are stays."""
    if id is not None:
        _find(lines, id)
    return tuple(replace(line, locked=locked) if id in (None, line.id) else line for line in lines)


def replace_all(lines: Lines, given: Sequence[Mapping[str, Any]], canonical: LabelResolver) -> Lines:
    """Other lines in place of all, in the order given: with an `id`, that line changed; without, a line that says the
    same as one that was there is that line still, and any other is new."""
    if len(given) > MAX_LINES:
        raise EditError("/lines", f"has {len(given)} lines; at most {MAX_LINES} are allowed")
    made: Lines = ()
    for index, fields in enumerate(given):
        try:
            if id := fields.get("id"):
                old: Line | None = lines[_find(lines, id, "/id")]
            else:
                new = _made(fields, None, canonical)
                old = next((line for line in lines if line.id == new.id), None)
            line = _made(fields, old, canonical)
            _refuse_twin(made, line)
        except EditError as fault:
            raise EditError(f"/lines/{index}{fault.pointer}", fault.detail) from None
        made = (*made, line)
    return made


def recompute_flags(entry: Entry) -> tuple[str, ...]:
    """The flags that an edited entry earns: by itself, and by the limits of each strategy that its lines came from.

    A strategy's limits are held against its own lines and those that people wrote of the same kinds; its numbers only
    where it asks once about a label, for they are meant for one answer. Strategies that are not among the shipped ones
    set no limits here.
    """
    if not entry.lines:
        return ()
    earned = set(flags_of(entry))
    for ref in sorted({line.strategy for line in entry.lines if line.strategy}):
        try:
            strategy = load_strategy(ref)
        except StrategyError:
            continue
        kinds = {line.kind for line in entry.lines if line.strategy == ref}
        own = tuple(line for line in entry.lines if line.strategy == ref or (not line.strategy and line.kind in kinds))
        limits, required = strategy.limits, strategy.response_fields
        if strategy.about != "label" or strategy.num_questions > 1:
            limits, required = replace(limits, min_phrases=0, max_phrases=MAX_LINES), frozenset()
        earned |= set(flags_of(replace(entry, lines=own), limits, required=required))
    return tuple(flag for flag in FLAGS if flag in earned)


def _made(given: Mapping[str, Any], old: Line | None, canonical: LabelResolver) -> Line:
    """The line of the fields given over an old one, if there is one. Only what a person changed makes it a person's."""
    kind: LineKind = given.get("kind") or (old.kind if old else "phrase")
    fits = FIELDS_OF_KIND[kind]
    said = {name: getattr(old, name) if old else "" for name in TEXT_FIELDS}
    for name in TEXT_FIELDS:
        if given.get(name) is None:
            continue
        text = normalize(given[name])
        if text and name != "text" and name not in fits:
            raise EditError(f"/{name}", f"a line of kind {kind} has no {name}")
        limit = MAX_TEXT_CHARS if name == "text" else MAX_FIELD_CHARS
        if (text or name == "text") and (fault := fault_of(text, limit)):
            raise EditError(f"/{name}", fault)
        if name == "text" and not has_content(text):
            raise EditError("/text", "says nothing: it has no letter or digit")
        said[name] = text
    if old is None and not said["text"]:
        raise EditError("/text", "is missing")
    if old is None or kind != old.kind:
        said = {name: text if name == "text" or name in fits else "" for name, text in said.items()}
    if kind == "contrast" and (old is None or kind != old.kind or said["about"] != old.about):
        said["about"] = _other(said["about"], canonical)
    locked = given.get("locked")
    if old is None:
        return Line(kind, origin="human", locked=bool(locked), **said)
    made = Line(
        kind,
        origin="human",
        locked=old.locked if locked is None else locked,
        strategy=old.strategy,
        call=old.call,
        **said,
    )
    return replace(made, origin=old.origin) if made.id == old.id else made


def _other(about: str, canonical: LabelResolver) -> str:
    if not about:
        raise EditError("/about", "must name the label that this one is told apart from")
    found = canonical(about)
    if found is None:
        detail = 'names no other label of the vocabulary; write it as it stands, a sense in brackets: "crane (bird)"'
        raise EditError("/about", detail)
    return found


def _find(lines: Lines, id: str, pointer: str = "/line") -> int:
    at = next((at for at, line in enumerate(lines) if line.id == id), None)
    if at is None:
        raise EditError(pointer, f"the label has no line {id[:20]!r}; a line that was changed has a new id")
    return at


def _refuse_twin(lines: Lines, made: Line) -> None:
    twin = next((line for line in lines if line.id == made.id), None)
    if twin is not None:
        raise EditError("/text", f"says the same as line {twin.id}")
