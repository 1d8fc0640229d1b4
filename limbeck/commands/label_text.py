"""The lines of one label as a text that a person edits, and back.

    phrase [3f2a9c0d1e2f] locked
      text: a long hooked bill
      part: bill
      value: long and hooked

A block a line: its kind, its id where it was there before, `locked` where enrichments are to keep it, and its fields. A
block that is taken away is a line deleted; one without an id is a new line; their order is that of the lines.
"""

import re
from collections.abc import Iterable
from typing import Any

from limbeck.commands.common import BadInput
from limbeck.models import Attributes, Line

KINDS = ("sentence", "phrase", "answer", "contrast", "caption")
FIELDS = ("text", "part", "value", "about", "other_value")
_HEAD = re.compile(r"(?P<kind>\w+)\s*(?:\[(?P<id>[^\]]*)\])?\s*(?P<locked>locked)?\s*")
_FIELD = re.compile(rf"\s+(?P<name>{'|'.join(FIELDS)})\s*:(?P<text>.*)")
_HELP = """\
# {name}
# Change what you like; lines that begin with # do not count. A block taken away is a line deleted, a block without
# [id] is a new one. Kinds: {kinds}. Write "locked" behind a kind to have every later enrichment keep the line.
"""


def name_of(label: Attributes) -> str:
    """A label with its sense, as people and `limbeck attributes` write it."""
    return f"{label.label} ({label.sense})" if label.sense else label.label


def written(label: Attributes) -> str:
    """The text to edit."""
    blocks = [_HELP.format(name=name_of(label), kinds=", ".join(KINDS))]
    blocks += [_block(line) for line in label.lines]
    return "\n".join(blocks)


def _block(line: Line) -> str:
    head = f"{line.kind} [{line.id}]" + (" locked" if line.locked else "")
    fields = [f"  {name}: {text}" for name in FIELDS if (text := getattr(line, name)) or name == "text"]
    return "\n".join([head, *fields]) + "\n"


def read(text: str) -> list[dict[str, Any]]:
    """The lines of a text, as the operation `replace` takes them. Raises BadInput that names the line."""
    lines: list[dict[str, Any]] = []
    for number, content in enumerate(text.splitlines(), start=1):
        if not content.strip() or content.startswith("#"):
            continue
        if found := _FIELD.fullmatch(content):
            if not lines or found["name"] in lines[-1]["given"]:
                what = f"a second {found['name']}" if lines else "a field"
                raise BadInput(f"line {number}: {what} without a line of its own to belong to")
            lines[-1]["given"].add(found["name"])
            lines[-1][found["name"]] = found["text"].strip()
        elif (head := _HEAD.fullmatch(content)) and head["kind"] in KINDS:
            emptied = dict.fromkeys(FIELDS, "") if head["id"] else {}
            known = {"id": head["id"]} if head["id"] else {}
            lines.append({**known, "kind": head["kind"], "locked": bool(head["locked"]), **emptied, "given": set()})
        else:
            raise BadInput(
                f"line {number}: {content.strip()[:60]!r} is neither `kind [id]` nor an indented `field: text`"
            )
    for line in lines:
        del line["given"]
    return lines


def addition(given: str) -> dict[str, Any]:
    """`phrase,part=bill: a long bill` as the fields of an `add`. Raises BadInput."""
    head, colon, text = given.partition(":")
    kind, *fields = (part.strip() for part in head.split(","))
    if not colon or kind not in KINDS:
        raise BadInput(
            f"--add {given!r}: write it as KIND: TEXT, or KIND,part=…,value=…: TEXT; kinds: {', '.join(KINDS)}"
        )
    return {"kind": kind, "text": text.strip(), **_assigned(fields, given)}


def _assigned(fields: Iterable[str], given: str) -> dict[str, str]:
    told: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or name.strip() not in FIELDS[1:]:
            raise BadInput(f"--add {given!r}: {field!r} is none of {', '.join(f'{name}=…' for name in FIELDS[1:])}")
        told[name.strip()] = value.strip()
    return told


def change(given: str) -> tuple[str, str, str]:
    """`LINE=TEXT` or `LINE.field=TEXT` as (line, field, text). Raises BadInput."""
    place, equals, text = given.partition("=")
    line, _, field = place.strip().partition(".")
    field = field or "text"
    if not equals or not line or field not in FIELDS:
        raise BadInput(
            f"--set {given!r}: write it as LINE=TEXT, or LINE.field=TEXT with a field of {', '.join(FIELDS)}"
        )
    return line, field, text.strip()
