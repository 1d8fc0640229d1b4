"""Read a label file: bytes and a file name, which is only a hint, to labels and a report of what was taken and dropped.

    found = read_label_file(path.read_bytes(), path.name)
    found.labels, found.report()

The API, `limbeck`, `python -m attributes` and `python -m distill` use this reader. `limbeck.shared.text_files` decodes,
`documents` parses JSON, YAML and Python, `delimited` CSV, `lines` plain text; `values` and `tables` find the labels,
and `cleanup` checks them.
"""

from pathlib import PurePath

from limbeck.shared.label_files.cleanup import NameFault, clean_labels, unescape_entities
from limbeck.shared.label_files.delimited import read_delimited
from limbeck.shared.label_files.documents import parse_document
from limbeck.shared.label_files.lines import read_lines
from limbeck.shared.label_files.other_files import refuse_other_files
from limbeck.shared.label_files.parquet import read_parquet
from limbeck.shared.label_files.types import FileLabel, LabelDraft, LabelFile, LabelFileError
from limbeck.shared.label_files.values import value_draft
from limbeck.shared.text_files import PARQUET_MAGIC, DecodedText, TextFileError, decode

_JSON = ("JSON", "JSON Lines")


def read_label_file(data: bytes, name: str = "", *, fault_of_name: NameFault | None = None) -> LabelFile:
    """The labels of a file, with a report. `name` is the file's name, whose suffix is a hint; the content decides.

    `fault_of_name` replaces the rule of names. Raises LabelFileError, which has the faults of all labels.
    """
    suffix = PurePath(name).suffix.lower()
    if data.startswith(PARQUET_MAGIC):
        return _finish(read_parquet(data), DecodedText(""), fault_of_name)
    try:
        decoded = decode(data, expected="a list of labels")
    except TextFileError as error:
        raise LabelFileError(str(error)) from None
    if not decoded.text.strip():
        raise LabelFileError("has no labels: write one label per line", is_empty=True)
    parsed = parse_document(decoded.text, suffix)
    if parsed and isinstance(parsed[0], str) and ("\n" in parsed[0].strip() or parsed[0].strip()[:1] in ("[", "{")):
        return read_label_file(parsed[0].encode(), fault_of_name=fault_of_name)  # a file inside a JSON string
    if parsed is None:
        refuse_other_files(decoded.text)
        if "&" in decoded.text and (plain := unescape_entities(decoded.text)) != decoded.text:
            decoded.text = plain
            decoded.notes.append("HTML entities such as &amp; became characters")
        draft = read_delimited(decoded.text, suffix) or read_lines(decoded.text)
        return _finish(draft, decoded, fault_of_name)
    try:
        return _finish(value_draft(*parsed), decoded, fault_of_name)
    except LabelFileError as error:
        if not error.faults or parsed[1] not in _JSON:
            raise
    parsed = parse_document(decoded.text, suffix, with_lines=True) or parsed
    return _finish(value_draft(*parsed), decoded, fault_of_name)


def _finish(draft: LabelDraft, decoded: DecodedText, fault_of_name: NameFault | None) -> LabelFile:
    labels: list[FileLabel] = clean_labels(draft, fault_of_name)
    return LabelFile(
        labels=labels,
        read_as=draft.read_as,
        notes=decoded.notes + draft.notes,
        warnings=decoded.warnings + draft.warnings,
    )
