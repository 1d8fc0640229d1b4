"""The shapes of JSON that lists texts by label, as published with papers on LLM descriptions:

    {"crane": ["a long neck", …]}                          DCLIP, CuPL, WaffleCLIP, MPVR, LaBo
    {"crane": "A tall bird."}                              one text per label
    {"crane": {"What does a crane look like?": [texts]}}   texts by question, by part (`{"bill": "long"}`) or by label
    {"crane": {"descriptors": [texts], "id": 3}}           a record per label
    {"descriptors": {"crane": [texts]}, "model": "…"}      any of these within one field
    [{"label": "crane", "descriptors": [texts]}, …]        records
    [["crane", [texts]], …], [{"crane": [texts]}, …]       pairs
    {"labels": ["crane", …], "texts": [[texts], …]}        columns

Texts are cleaned; lists may be nested. Every fault goes to the `Reading` and leaves out one label or one text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from limbeck.shared.attribute_files.document_shapes import as_records, not_texts
from limbeck.shared.attribute_files.listed_items import listed_items
from limbeck.shared.attribute_files.reading import MAX_FAULTS, Path, Reading
from limbeck.shared.labels import LabelKey, label_fault, label_key, quoted, text_fault, written

MAX_TEXT_CHARS = 5_000
MAX_TEXTS = 500
LABEL_FIELDS = (
    "label",
    "name",
    "class",
    "class_name",
    "classname",
    "category",
    "concept",
    "label_name",
    "category_name",
    "object",
    "title",
    "species",
    "klasse",
    "bezeichnung",
    "kategorie",
    "classe",
    "nom",
    "clase",
    "nombre",
)
"""Fields of the label in records and tables, the most certain first."""
SENSE_FIELDS = ("sense",)
TEXT_FIELDS = tuple(
    form
    for noun in (
        "text",
        "sentence",
        "description",
        "descriptor",
        "attribute",
        "phrase",
        "answer",
        "caption",
        "definition",
        "feature",
        "concept_text",
        "response",
        "completion",
        "desc",
        "beschreibung",
        "merkmal",
        "descripción",
        "prompt",
    )
    for form in (noun, f"{noun}s")
)
"""Fields of the texts in records and tables. A prompt is the question if there is another field of texts."""
QUESTION_FIELDS = ("about", "question", "query", "prompt")
_NUMBER_OF_FIELD = re.compile(r"[_ ]?\d{1,3}$")  # `attribute 1`, `attribute 2`
_WRAPPERS = frozenset(TEXT_FIELDS) | {"data", "entries", "labels", "classes", "annotations", "rows", "train", "results"}
ONE_TEXT = "an object of label -> one text"
_MIN_SENTENCE_WORDS = 9  # texts with at least this median number of words are sentences, not phrases


@dataclass(frozen=True, slots=True)
class LabelText:
    """One text, and what it is about: the question, the part, or the other label; empty if the file does not say."""

    text: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class LabelTexts:
    """The texts of one label."""

    name: str
    sense: str | None
    texts: tuple[LabelText, ...]

    def __str__(self) -> str:
        return written(self.name, self.sense)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value is, for faults."""

    path: Path
    line: int | None = None

    def at(self, step: str | int) -> "_Place":
        return _Place((*self.path, step), self.line)


@dataclass(frozen=True, slots=True)
class _Item:
    """A label and its texts before they are checked."""

    name: object
    value: object
    path: Path
    sense: object = None
    about: str = ""
    unused: tuple[str, ...] = ()


_NO_TEXTS = object()


def read_label_texts(data: object, reading: Reading) -> list[LabelTexts]:
    """The labels of a document of any of these shapes, in order. The caller closes the reading."""
    if fault := not_texts(data):
        reading.fault(fault)
        return []
    shape, items = _items(*_unwrapped(as_records(data, LABEL_FIELDS), ()))
    if items is None and isinstance(data, list) and has_same_fields(data):
        named = ", ".join(map(str, data[0]))[:200]
        reading.fault(f"the records have no field of labels and of texts, such as label and text; they have {named}")
        return []
    if items is None:
        reading.fault("must be a JSON object of label -> list of texts, or a list of records with label and texts")
        return []
    reading.report.read_as = shape
    if unused := sorted({name for item in items for name in item.unused}):
        reading.warn(f"fields that are not used: {', '.join(unused)[:200]}")
    collected = TextsByLabel(reading)
    for item in items:
        collected.add(item.name, item.value, sense=item.sense, about=item.about, path=item.path)
    labels = collected.labels()
    if empty := [label for label in labels if not label.texts]:
        shown = ", ".join(quoted(str(label)) for label in empty[:3]) + (" …" if len(empty) > 3 else "")
        reading.warn(f"{len(empty):,} of {len(labels):,} labels have no texts: {shown}")
    return labels


class TextsByLabel:
    """Checks labels and texts, and joins the records of one label. A label that is a key of a JSON object is unique."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._names: dict[LabelKey, tuple[str, str | None, Path]] = {}
        self._texts: dict[LabelKey, list[LabelText]] = {}

    def add(
        self,
        name: object,
        value: object,
        *,
        sense: object = None,
        about: str = "",
        path: Path = (),
        line: int | None = None,
    ) -> None:
        """Add the texts below `value`; report what is wrong with them, or with the label."""
        place = _Place(path, line)
        label = self._checked_label(name, sense, place)
        if label is None:
            return
        key = label_key(*label)
        first = self._names.setdefault(key, (*label, path))
        if path and first[2] != path and isinstance(path[-1], str):
            self._reading.fault(self._repeated(label, first[2]), path=path, line=line)
            return
        of_label, shown = self._texts.setdefault(key, []), quoted(written(*label))
        for one in _texts(value, place, self._reading.field(about)[:500] if about else "", shown, self._reading):
            if len(of_label) == MAX_TEXTS:
                self._reading.fault(
                    f"label {shown} has more than {MAX_TEXTS} texts; a partial import keeps the first",
                    path=path,
                    line=line,
                )
                break
            self._reading.report.repeated_texts += one in of_label
            of_label.append(one)

    def labels(self) -> list[LabelTexts]:
        """The labels with their texts, in the order of their first records."""
        return [LabelTexts(name, sense, tuple(self._texts[key])) for key, (name, sense, _) in self._names.items()]

    def _checked_label(self, name: object, sense: object, place: "_Place") -> tuple[str, str | None] | None:
        if not isinstance(name, str):
            found = "no label" if name is None else f"a label that is {_type_name(name)}"
            self._fault(f"the record has {found}; the label is a text in the field label", place)
            return None
        label = self._reading.label(name), (self._reading.label(sense) if isinstance(sense, str) else "") or None
        if fault := label_fault(*label):
            self._fault(fault, place)
            return None
        return label

    def _repeated(self, label: tuple[str, str | None], first: Path) -> str:
        is_shown = self._reading.locate is not None and self._reading.report.left_out < MAX_FAULTS
        line = self._reading.locate(first) if is_shown and self._reading.locate is not None else None
        return f"label {quoted(written(*label))} is also on line {line}; give each a sense"

    def _fault(self, detail: str, place: "_Place") -> None:
        self._reading.fault(detail, path=place.path, line=place.line)


def is_sentences(labels: Iterable[LabelTexts]) -> bool:
    """Whether the texts are sentences (by their median number of words) and not phrases."""
    lengths = sorted(len(one.text.split()) for label in labels for one in label.texts)
    return bool(lengths) and lengths[len(lengths) // 2] >= _MIN_SENTENCE_WORDS


def first_field(record: Iterable[str], names: Iterable[str]) -> str | None:
    """The key of the record that is the first of these field names, ignoring case and surrounding white space."""
    by_name = {key.strip().casefold().replace(" ", "_"): key for key in record}
    return next((by_name[name] for name in names if name in by_name), None)


def text_fields(record: Iterable[str], label: str | None = None) -> list[str]:
    """The fields of texts, in order: one or several of these names, also with numbers, such as `attribute 1`."""
    found = []
    for key in record:
        name = key.strip().casefold().replace(" ", "_")
        if key != label and (name in TEXT_FIELDS or _NUMBER_OF_FIELD.sub("", name) in TEXT_FIELDS):
            found.append(key)
    others = [key for key in found if key.strip().casefold() not in QUESTION_FIELDS]
    return others or found


def _unwrapped(data: object, path: Path) -> tuple[object, Path]:
    """The value of the one field that holds the labels, if the other fields are scalars."""
    if not isinstance(data, dict):
        return data, path
    nested = {key: value for key, value in data.items() if isinstance(value, dict | list)}
    if len(nested) != 1:
        return data, path
    ((key, value),) = nested.items()
    is_nested = isinstance(value, dict) or any(isinstance(one, dict | list) for one in value)
    is_text_of_record = first_field(data, LABEL_FIELDS) is not None and key.casefold() in TEXT_FIELDS
    if key.casefold() not in _WRAPPERS or not is_nested or is_text_of_record:
        return data, path
    return _unwrapped(value, (*path, key))


def _items(data: object, path: Path) -> tuple[str, list[_Item] | None]:
    """(the shape in words, the labels with their values)."""
    if isinstance(data, dict):
        if columns := _columns(data):
            labels, texts = columns
            pairs = zip(cast(list[object], data[labels]), cast(list[object], data[texts]), strict=True)
            items = [_Item(name, value, (*path, texts, at)) for at, (name, value) in enumerate(pairs)]
            return f"columns {labels} and {texts}", items
        record = _record(data, path)
        if record is not None and not isinstance(record.name, list | dict):
            return "one record of a label and its texts", [record]
        by_id = [_record(value, (*path, key)) if isinstance(value, dict) else None for key, value in data.items()]
        if by_id and all(by_id):
            return "an object of id -> record with label and texts", [item for item in by_id if item is not None]
        return _object_shape(data), [_Item(name, value, (*path, name)) for name, value in data.items()]
    if not isinstance(data, list) or not data:
        return "", [] if data == [] else None
    if has_same_fields(data) and _record(data[0], path) is None:
        return "", None
    items = []
    for at, one in enumerate(data):
        item = _list_item(one, (*path, at))
        if item is None:
            return "", None
        items += item
    return "a list of records with label and texts", items


def has_same_fields(data: list[object]) -> bool:
    """Whether several objects have the same fields, so that these are no labels."""
    objects = [one for one in data if isinstance(one, dict)]
    return 1 < len(objects) == len(data) and all(one.keys() == objects[0].keys() for one in objects)


def _list_item(one: object, path: Path) -> list[_Item] | None:
    if isinstance(one, dict):
        if (record := _record(one, path)) is not None:
            return [record]
        if (label := first_field(one, LABEL_FIELDS)) is not None:
            return [_Item(one[label], _NO_TEXTS, path)]
        if len(one) == 1 or all(isinstance(value, list | dict) for value in one.values()):
            return [_Item(name, value, (*path, name)) for name, value in one.items()]
        return [_Item(None, one, path)]
    if isinstance(one, list) and len(one) >= 2 and isinstance(one[0], str):
        return [_Item(one[0], one[1] if len(one) == 2 else one[1:], path)]
    return None


def _record(data: Mapping[str, object], path: Path) -> _Item | None:
    """The record's label, sense, texts and question; None if it has no field for a label or for texts."""
    label = first_field(data, LABEL_FIELDS)
    texts = text_fields(data, label)
    if label is None or not texts:
        return None
    sense = first_field(data, SENSE_FIELDS)
    about = first_field([key for key in data if key not in texts], QUESTION_FIELDS)
    question = data[about] if about is not None else ""
    return _Item(
        data[label],
        data[texts[0]] if len(texts) == 1 else [data[name] for name in texts],
        path,
        data[sense] if sense is not None else None,
        question if isinstance(question, str) else "",
        tuple(key for key in data if key not in (label, sense, about, *texts)),
    )


def _columns(data: Mapping[str, object]) -> tuple[str, str] | None:
    """The names of two parallel lists, of labels and of their texts."""
    labels = first_field(data, [form for name in LABEL_FIELDS for form in (name, f"{name}s", f"{name}es")])
    texts = first_field(data, TEXT_FIELDS)
    if labels is None or texts is None or labels == texts:
        return None
    names, values = data[labels], data[texts]
    if not isinstance(names, list) or not isinstance(values, list) or len(names) != len(values) or len(names) < 2:
        return None
    return (labels, texts) if all(isinstance(name, str) for name in names) else None


def _object_shape(data: Mapping[str, object]) -> str:
    values = list(data.values())
    if values and all(isinstance(value, str) for value in values):
        return ONE_TEXT
    if any(isinstance(value, dict) for value in values):
        return "an object of label -> texts by question"
    return "an object of label -> list of texts"


def _texts(value: object, place: _Place, about: str, label: str, reading: Reading) -> Iterator[LabelText]:
    """The valid texts below `value`, cleaned, without empty ones."""
    if value is None:
        reading.report.empty_texts += 1
    elif isinstance(value, str):
        if (items := listed_items(value)) != [value]:
            reading.warn("texts that are lists with bullets or numbers were divided into their items")
            yield from _texts(items, place, about, label, reading)
        elif text := reading.text(value):
            if fault := text_fault(text, MAX_TEXT_CHARS):
                reading.fault(f"{label}: {fault}", path=place.path, line=place.line)
            else:
                yield LabelText(text, about)
    elif isinstance(value, list):
        if (
            all(isinstance(one, str) for one in value)
            and len(items := listed_items("\n".join(value))) == len(value) > 1
        ):
            reading.warn("the bullets or numbers before texts were removed")
            value = items
        for index, one in enumerate(value):
            yield from _texts(one, place.at(index), about, label, reading)
    elif isinstance(value, dict):
        yield from _texts_of_object(value, place, about, label, reading)
    else:
        detail = f"{label} must have a list of texts, not {_type_name(value)}"
        reading.fault(detail, path=place.path, line=place.line)


def _texts_of_object(
    value: Mapping[str, object], place: _Place, about: str, label: str, reading: Reading
) -> Iterator[LabelText]:
    """The texts of a record, or of an object of question, part or other label -> texts."""
    text_field = first_field(value, TEXT_FIELDS)
    others = [one for key, one in value.items() if key != text_field]
    if text_field is not None and not any(isinstance(one, dict | list) for one in others):
        question = first_field(value, QUESTION_FIELDS)
        asked = value[question] if question is not None else ""
        inner = reading.field(asked)[:500] if isinstance(asked, str) and asked else about
        if dropped := [key for key in value if key not in (text_field, question)]:
            reading.warn(f"fields that hold no texts are dropped: {', '.join(sorted(dropped)[:5])}")
        yield from _texts(value[text_field], place.at(text_field), inner, label, reading)
        return
    for key, one in value.items():
        cleaned = reading.field(key)[:500]
        inner = about if cleaned.isdecimal() or key.casefold() in _WRAPPERS else cleaned
        yield from _texts(one, place.at(key), inner, label, reading)


def _type_name(value: object) -> str:
    if value is _NO_TEXTS:
        return "a record without a field of texts"
    if isinstance(value, bool):
        return "true or false"
    return "a number" if isinstance(value, int | float) else "an object" if isinstance(value, dict) else "a list"
