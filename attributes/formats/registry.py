"""The registry of the formats of a single file: reader, writer, file extension, media type.

To add a format, write a module beside this one, add its name to `limbeck.shared.format_names` and an entry here. The
commands, the API's import and its export then know it.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from attributes.formats.common import FormatError
from attributes.formats.csv import read_csv, write_csv
from attributes.formats.cupl import read_cupl, write_cupl
from attributes.formats.dclip import read_dclip, write_dclip
from attributes.formats.limbeck_json import AttributeFile, read_json, write_json
from attributes.text import num_words
from attributes.types import Entry
from limbeck.shared.format_names import DOCUMENT_FORMATS, DocumentFormat

_MIN_SENTENCE_WORDS = 9  # texts with at least this median number of words are sentences, not phrases


@dataclass(frozen=True, kw_only=True)
class FileHead:
    """What a set was made with; None if unknown. Only some formats store it."""

    domain: str | None = None
    strategy: str | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """A format. `read` parses a file and raises FormatError that names the line.

    `write` returns the file in pieces. A format that cannot hold the entries raises FormatError before the first piece.
    `is_json`: the API also takes the document as a JSON value.
    """

    title: str
    extension: str
    media_type: str
    is_json: bool
    read: Callable[[str], AttributeFile]
    write: Callable[[Iterable[Entry], FileHead], Iterator[str]]


FORMATS: Mapping[DocumentFormat, FileFormat] = {
    "json": FileFormat(
        title="Limbeck's JSON",
        extension="json",
        media_type="application/json",
        is_json=True,
        read=read_json,
        write=lambda entries, head: write_json(entries, domain=head.domain, strategy=head.strategy, model=head.model),
    ),
    "csv": FileFormat(
        title="CSV",
        extension="csv",
        media_type="text/csv; charset=utf-8",
        is_json=False,
        read=lambda text: AttributeFile(entries=read_csv(text)),
        write=lambda entries, _head: write_csv(entries),
    ),
    "dclip": FileFormat(
        title="DCLIP's JSON",
        extension="dclip.json",
        media_type="application/json",
        is_json=True,
        read=lambda text: AttributeFile(entries=read_dclip(text)),
        write=lambda entries, _head: iter([write_dclip(entries)]),
    ),
    "cupl": FileFormat(
        title="CuPL's JSON",
        extension="cupl.json",
        media_type="application/json",
        is_json=True,
        read=lambda text: AttributeFile(entries=read_cupl(text)),
        write=lambda entries, _head: iter([write_cupl(entries)]),
    ),
}
assert tuple(FORMATS) == DOCUMENT_FORMATS


def parse_entries(text: str, format: DocumentFormat | None = None) -> list[Entry]:
    """The entries of a file in this format; without one, the format is detected. Raises FormatError."""
    entries = FORMATS[format or detect_format(text)].read(text).entries
    if not entries:
        raise FormatError("has no labels")
    return entries


def detect_format(text: str) -> DocumentFormat:
    """The format by the content; malformed JSON is `json`, whose reader reports the position of the fault."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return "csv"
    try:
        data = json.loads(text.removeprefix("\ufeff"))
    except ValueError:
        return "json"
    if not isinstance(data, dict) or "entries" in data or "format" in data:
        return "json"
    texts = [one for listed in data.values() if isinstance(listed, list) for one in listed if isinstance(one, str)]
    lengths = sorted(map(num_words, texts))
    return "cupl" if lengths and lengths[len(lengths) // 2] >= _MIN_SENTENCE_WORDS else "dclip"
