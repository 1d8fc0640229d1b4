"""The report of an import: what was read, changed, matched and left out."""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from pydantic import Field

from api.http.problems import MAX_ERRORS, json_pointer
from api.http.schemas import ResponseModel
from limbeck.shared.attribute_files.matching import Assignment, MatchedEntry, Rule
from limbeck.shared.attribute_files.reading import Fault, ReadReport
from limbeck.shared.labels import LabelPair, written
from store.errors import InvalidField

MAX_LISTED = 1_000


class LeftOutOut(ResponseModel):
    """A text or label of the file that was left out."""

    pointer: str = Field(description="JSON pointer (RFC 6901) into the body.")
    detail: str


class MatchOut(ResponseModel):
    """A label of the file, and the labels of the vocabulary that have its attributes now."""

    label: str
    labels: list[str]


class ImportReportOut(ResponseModel):
    """What an import read, changed, matched and left out. Lists are cut; the numbers count all."""

    read_as: str = Field(description="The shape that was recognised, in words.")
    encoding: str = Field(description="Encoding of an uploaded file; empty for JSON bodies.")
    num_labels: int = Field(description="Labels of the file that were imported.")
    num_lines: int = Field(description="Lines that were imported.")
    normalized_texts: int = Field(description="Texts whose white space or invisible characters were normalised.")
    normalized_labels: int = Field(description="Labels of which the same was done.")
    dropped_characters: int = Field(description="Invisible, private-use and other characters that were removed.")
    empty_texts: int = Field(description="Texts that were empty, and dropped.")
    repeated_texts: int = Field(description="Texts that a label has more than once; they are kept.")
    warnings: list[str] = Field(description="What a person should look at.")
    num_left_out: int = Field(description="Faults whose texts or labels were left out; 0 without `partial`.")
    left_out: list[LeftOutOut] = Field(description=f"The first {MAX_ERRORS} of them.")
    num_exact: int = Field(description="Labels of the file that matched by their names.")
    num_normalized: int = Field(description="Labels that matched by the normalisation of data sets.")
    num_mapped: int = Field(description="Labels that `map` gave labels.")
    num_shared: int = Field(description="Labels without a sense, whose attributes several senses got.")
    normalized: list[MatchOut] = Field(description=f"At most {MAX_LISTED:,}.")
    mapped: list[MatchOut] = Field(description=f"At most {MAX_LISTED:,}.")
    shared: list[MatchOut] = Field(description=f"At most {MAX_LISTED:,}.")
    num_without_entry: int = Field(description="Labels of the vocabulary that the file says nothing about.")
    without_entry: list[str] = Field(description=f"The first {MAX_ERRORS} of them.")


def import_report(
    report: ReadReport,
    *,
    pointer: str,
    is_text: bool,
    num_lines: int,
    entries: Sequence[LabelPair],
    labels: Sequence[LabelPair],
    assignment: Assignment,
) -> ImportReportOut:
    """The report of a reading and of the assignment of its entries to labels."""
    fields = fault_fields(report.faults, pointer, is_text=is_text)
    left_out = [LeftOutOut(pointer=field.pointer, detail=field.detail) for field in fields]
    left_out += [LeftOutOut(pointer=pointer, detail=detail) for _, detail in assignment.faults]
    without_entry = [at for at, entry in enumerate(assignment.entry_of) if entry is None]
    return ImportReportOut(
        read_as=report.read_as,
        encoding=report.encoding,
        num_labels=len(assignment.matched),
        num_lines=num_lines,
        normalized_texts=report.normalized_texts,
        normalized_labels=report.normalized_labels,
        dropped_characters=report.dropped_characters,
        empty_texts=report.empty_texts,
        repeated_texts=report.repeated_texts,
        warnings=report.warnings,
        num_left_out=report.left_out + assignment.num_faults + len(assignment.left_out),
        left_out=left_out[:MAX_ERRORS],
        num_without_entry=len(without_entry),
        without_entry=[written(*labels[at]) for at in without_entry[:MAX_ERRORS]],
        **_matches(assignment, entries, labels),
    )


def _matches(assignment: Assignment, entries: Sequence[LabelPair], labels: Sequence[LabelPair]) -> dict[str, Any]:
    """The fields that say how many labels each rule matched, and which."""
    fields: dict[str, Any] = {"num_exact": len(assignment.of_rule(Rule.EXACT))}
    for name, rule in (("normalized", Rule.NORMALIZED), ("mapped", Rule.MAP), ("shared", Rule.SHARED)):
        found = assignment.of_rule(rule)
        fields[f"num_{name}"] = len(found)
        fields[name] = [_match(one, entries, labels) for one in islice(found, MAX_LISTED)]
    return fields


def fault_fields(faults: Sequence[Fault], pointer: str, *, is_text: bool) -> list[InvalidField]:
    """The faults with JSON pointers: into a JSON document if it was posted as a value, else with their lines."""
    return [
        InvalidField(pointer, str(fault))
        if is_text
        else InvalidField(pointer + json_pointer(*fault.path), fault.detail)
        for fault in faults
    ]


def _match(one: MatchedEntry, entries: Sequence[LabelPair], labels: Sequence[LabelPair]) -> MatchOut:
    return MatchOut(label=written(*entries[one.entry]), labels=[written(*labels[at]) for at in one.labels])
