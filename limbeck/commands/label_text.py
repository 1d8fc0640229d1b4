"""The lines of one label as an editable text: formatting and parsing.

    phrase [3f2a9c0d1e2f] locked
      text: a long hooked bill
      part: bill
      value: long and hooked

One block per line: its kind, the id of an existing line, `locked` if enrichments must keep the line, and its fields. A
removed block deletes the line; a block without an id adds a line; the order of the blocks is the order of the lines.
"""

import re
from collections.abc import Iterable

from limbeck.commands.common import BadInput
from limbeck.models import Attributes, Line
from limbeck.shared.labels import written

KINDS = ("sentence", "phrase", "answer", "contrast", "caption")
FIELDS = ("text", "part", "value", "about", "other_value")
_HEAD = re.compile(r"(?P<kind>\w+)\s*(?:\[(?P<id>[^\]]*)\])?\s*(?P<locked>locked)?\s*")
_FIELD = re.compile(rf"\s+(?P<name>{'|'.join(FIELDS)})\s*:(?P<text>.*)")
_HELP = """\
# {name}
# Lines that begin with # are ignored. Remove a block to delete the line; add a block without [id] to add one.
# Kinds: {kinds}. Write "locked" after the kind to keep the line in later enrichments.
"""


def name_of(label: Attributes) -> str:
    """The label's name, with its sense in parentheses."""
    return written(label.label, label.sense)


def format_label(label: Attributes) -> str:
    """The editable text of a label."""
    blocks = [_HELP.format(name=name_of(label), kinds=", ".join(KINDS))]
    blocks += [_block(line) for line in label.lines]
    return "\n".join(blocks)


def _block(line: Line) -> str:
    head = f"{line.kind} [{line.id}]" + (" locked" if line.locked else "")
    fields = [f"  {name}: {text}" for name in FIELDS if (text := getattr(line, name)) or name == "text"]
    return "\n".join([head, *fields]) + "\n"


def parse_lines(text: str) -> list[dict[str, str | bool]]:
    """The lines of a text, for the operation `replace`. Raises BadInput that names the line number."""
    lines: list[dict[str, str | bool]] = []
    given: set[str] = set()  # the fields that the text gives for the last line
    for number, content in enumerate(text.splitlines(), start=1):
        if not content.strip() or content.startswith("#"):
            continue
        if found := _FIELD.fullmatch(content):
            if not lines or found["name"] in given:
                field = f"a second {found['name']}" if lines else "a field"
                raise BadInput(f"line {number}: {field} without a `kind` line above it")
            given.add(found["name"])
            lines[-1][found["name"]] = found["text"].strip()
        elif (head := _HEAD.fullmatch(content)) and head["kind"] in KINDS:
            defaults = dict.fromkeys(FIELDS, "") if head["id"] else {}
            line_id = {"id": head["id"]} if head["id"] else {}
            lines.append({**line_id, "kind": head["kind"], "locked": bool(head["locked"]), **defaults})
            given.clear()
        else:
            raise BadInput(
                f"line {number}: {content.strip()[:60]!r} is neither `kind [id]` nor an indented `field: text`"
            )
    return lines


def parse_addition(option: str) -> dict[str, str]:
    """`phrase,part=bill: a long bill` as the fields of the operation `add`. Raises BadInput."""
    head, colon, text = option.partition(":")
    kind, *fields = (part.strip() for part in head.split(","))
    if not colon or kind not in KINDS:
        raise BadInput(
            f"--add {option!r}: write it as KIND: TEXT, or KIND,part=…,value=…: TEXT; kinds: {', '.join(KINDS)}"
        )
    return {"kind": kind, "text": text.strip(), **_parse_fields(fields, option)}


def _parse_fields(fields: Iterable[str], option: str) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or name.strip() not in FIELDS[1:]:
            raise BadInput(f"--add {option!r}: {field!r} is not one of {', '.join(f'{name}=…' for name in FIELDS[1:])}")
        parsed[name.strip()] = value.strip()
    return parsed


def parse_change(option: str) -> tuple[str, str, str]:
    """`LINE=TEXT` or `LINE.field=TEXT` as (line, field, text). Raises BadInput."""
    place, equals, text = option.partition("=")
    line, _, field = place.strip().partition(".")
    field = field or "text"
    if not equals or not line or field not in FIELDS:
        raise BadInput(
            f"--set {option!r}: write it as LINE=TEXT, or LINE.field=TEXT with a field of {', '.join(FIELDS)}"
        )
    return line, field, text.strip()
