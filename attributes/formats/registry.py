"""The registry of the formats of a single file: reader, writer, file extension, media type.

To add a format, write a module beside this one, add its name to `limbeck.shared.format_names` and an entry here. The
commands, the API's import and its export then know it.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from attributes.formats.common import FormatError, Reading
from attributes.formats.csv import read_csv, write_csv
from attributes.formats.cupl import read_cupl, write_cupl
from attributes.formats.dclip import read_dclip, write_dclip
from attributes.formats.huggingface import read_huggingface, write_huggingface
from attributes.formats.jsonl import read_jsonl, write_jsonl
from attributes.formats.limbeck_json import FORMAT, AttributeFile, read_json, write_json
from attributes.formats.parquet import read_parquet, write_parquet
from attributes.types import Entry
from limbeck.shared.attribute_files.decoding import binary_format, decode
from limbeck.shared.attribute_files.label_texts import is_sentences, read_label_texts
from limbeck.shared.format_names import BINARY_FORMATS, DOCUMENT_FORMATS, DocumentFormat

Content = str | bytes


@dataclass(frozen=True, kw_only=True)
class FileHead:
    """What a set was made with; None if unknown. Only some formats store it."""

    domain: str | None = None
    strategy: str | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """A format. `read` parses a file, reports to the reading, and raises FormatError with all faults and their lines.

    `write` returns the file in pieces. A format that cannot hold the entries raises FormatError before the first piece.
    `is_json`: the API also takes the document as a JSON value. `is_binary`: the content is bytes, not text.
    """

    title: str
    extension: str
    media_type: str
    is_json: bool = False
    is_binary: bool = False
    read: Callable[[Content, Reading], AttributeFile]
    write: Callable[[Iterable[Entry], FileHead], Iterator[str] | Iterator[bytes]]


def _text(content: Content, reading: Reading) -> str:
    if isinstance(content, str):
        return content
    text, reading.report.encoding = decode(content)
    if reading.report.encoding == "Windows-1252":
        reading.warn("the file is not UTF-8 and was read as Windows-1252; check the accents")
    return text


def _of_text(read: Callable[[str, Reading], list[Entry]]) -> Callable[[Content, Reading], AttributeFile]:
    return lambda content, reading: AttributeFile(entries=read(_text(content, reading), reading))


def _of_bytes(read: Callable[[bytes, Reading], list[Entry]], title: str) -> Callable[[Content, Reading], AttributeFile]:
    def read_content(content: Content, reading: Reading) -> AttributeFile:
        if isinstance(content, str):
            raise FormatError(f"is text, but {title} is binary")
        return AttributeFile(entries=read(content, reading))

    return read_content


FORMATS: Mapping[DocumentFormat, FileFormat] = {
    "json": FileFormat(
        title="Limbeck's JSON",
        extension="json",
        media_type="application/json",
        is_json=True,
        read=lambda content, reading: read_json(_text(content, reading), reading),
        write=lambda entries, head: write_json(entries, domain=head.domain, strategy=head.strategy, model=head.model),
    ),
    "csv": FileFormat(
        title="CSV",
        extension="csv",
        media_type="text/csv; charset=utf-8",
        read=_of_text(read_csv),
        write=lambda entries, _head: write_csv(entries),
    ),
    "dclip": FileFormat(
        title="DCLIP's JSON",
        extension="dclip.json",
        media_type="application/json",
        is_json=True,
        read=_of_text(read_dclip),
        write=lambda entries, _head: iter([write_dclip(entries)]),
    ),
    "cupl": FileFormat(
        title="CuPL's JSON",
        extension="cupl.json",
        media_type="application/json",
        is_json=True,
        read=_of_text(read_cupl),
        write=lambda entries, _head: iter([write_cupl(entries)]),
    ),
    "jsonl": FileFormat(
        title="JSON Lines",
        extension="jsonl",
        media_type="application/jsonl; charset=utf-8",
        read=_of_text(read_jsonl),
        write=lambda entries, _head: write_jsonl(entries),
    ),
    "parquet": FileFormat(
        title="Parquet",
        extension="parquet",
        media_type="application/vnd.apache.parquet",
        is_binary=True,
        read=_of_bytes(read_parquet, "Parquet"),
        write=lambda entries, _head: iter([write_parquet(entries)]),
    ),
    "huggingface": FileFormat(
        title="Hugging Face data set",
        extension="huggingface.zip",
        media_type="application/zip",
        is_binary=True,
        read=_of_bytes(read_huggingface, "an archive"),
        write=lambda entries, head: iter(
            [write_huggingface(entries, made_with=f" (made by {head.model})" if head.model else "")]
        ),
    ),
}
assert tuple(FORMATS) == DOCUMENT_FORMATS
assert tuple(name for name, format in FORMATS.items() if format.is_binary) == BINARY_FORMATS


def read_file(content: Content, format: DocumentFormat | None, reading: Reading) -> AttributeFile:
    """The content of a file in this format; without one, the format is detected. Raises FormatError."""
    if not content.strip():
        raise FormatError("is empty")
    file = FORMATS[format or detect_format(content)].read(content, reading)
    if not file.entries and not reading.report.left_out:
        raise FormatError("has no labels")
    if not file.entries:
        raise FormatError(reading.report.faults, num_faults=reading.report.left_out)
    return file


def parse_entries(
    content: Content, format: DocumentFormat | None = None, reading: Reading | None = None
) -> list[Entry]:
    """The entries of a file in this format; without one, the format is detected. Raises FormatError."""
    return read_file(content, format, reading or Reading()).entries


def detect_format(content: Content) -> DocumentFormat:
    """The format by the content; malformed JSON is `json`, whose reader reports the position of the fault."""
    if isinstance(content, bytes):
        if (binary := binary_format(content)) is not None:
            return binary
        content, _ = decode(content)
    text = content.lstrip("\ufeff \t\r\n")
    _refuse_other_files(text)
    if not text.startswith(("{", "[")):
        return "csv"
    try:
        data = json.loads(text, strict=False)
    except ValueError:
        return "jsonl" if _is_jsonl(text) else "json"
    except RecursionError:
        return "json"
    if isinstance(data, dict) and _is_limbeck_json(data):
        return "json"
    if isinstance(data, dict) and isinstance(data.get("lines"), list) and isinstance(data.get("label"), str):
        return "jsonl"  # a file of one line
    return "cupl" if is_sentences(read_label_texts(data, Reading(partial=True))) else "dclip"


def _refuse_other_files(text: str) -> None:
    """Raise FormatError for text that is surely no file of attributes."""
    if text.startswith("<"):
        raise FormatError("is HTML or XML, not a file of attributes")
    if re.match(r"(?:#[^\n]*\n|import [^\n]*\n|\s)*[A-Za-z_]\w*(?:\s*:[^=\n]{1,60})?\s*=\s*[\[{(]", text):
        raise FormatError("is Python code, not JSON; write the value with json.dumps")


def _is_limbeck_json(data: Mapping[str, object]) -> bool:
    """Whether the document states Limbeck's format, or has its entries; the reader reports what is wrong with it."""
    entries = data.get("entries")
    has_lines = isinstance(entries, list) and any(isinstance(entry, dict) and "lines" in entry for entry in entries)
    return data.get("format") == FORMAT or has_lines


def _is_jsonl(text: str) -> bool:
    """Whether the first line alone is a JSON object, and more lines follow."""
    first, _, rest = text.partition("\n")
    try:
        return rest.strip() != "" and isinstance(json.loads(first), dict)
    except ValueError:
        return False
