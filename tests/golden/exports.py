"""One attribute set with every field that a line can have, written in every format."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from attributes.formats.csv import read_csv, write_csv
from attributes.formats.cupl import read_cupl, write_cupl
from attributes.formats.dclip import read_dclip, write_dclip
from attributes.formats.jsonl import read_jsonl, write_jsonl
from attributes.formats.label2text import (
    join_sentences,
    label2text_of,
    read_label2text,
    write_label2text,
    write_sentences,
)
from attributes.formats.limbeck_json import read_json, write_json
from attributes.types import Entry, Line
from tests.golden import files

FOLDER = files.HERE / "export"
HEAD: Mapping[str, str] = {"domain": "birds, machines & flowers – «all»", "strategy": "phrases@1", "model": "stand-in"}
CALL = "5d41402abc4b2a76b9719d911017c592"

ENTRIES = (
    Entry(
        "crane",
        "bird",
        (
            Line("sentence", "A tall, grey bird with a red crown.", strategy="describe@1", call=CALL),
            Line("phrase", "a long neck", "neck", "long", strategy="phrases@1", call=CALL),
            Line("phrase", 'a "dagger-like" bill, thin', "bill", 'thin, "dagger-like"', origin="human", locked=True),
            Line("contrast", "no boom", "body", "feathered", "crane (machine)", "a steel boom", strategy="contrast@1"),
            Line("answer", "It has long, thin legs.", about="Its legs?", strategy="questions@1", call=CALL),
            Line("caption", "A grey bird stands in a marsh.", strategy="captions@1"),
        ),
        ("too_few_phrases",),
    ),
    Entry(
        "crane",
        "machine",
        (
            Line("sentence", "A tall yellow machine; it lifts loads.", origin="human", locked=True),
            Line("phrase", "=a boom that begins like a formula", "boom", "", origin="import"),
            Line("contrast", "a steel boom", "body", "a steel boom", "crane (bird)", "feathered", locked=True),
        ),
        (),
    ),
    Entry(
        "Schöner Kolibri 蜂鸟",
        None,
        (
            Line("phrase", "schillernd grüne Federn – 绿色", "Gefieder", "grün", origin="llm", strategy="phrases@1"),
            Line("answer", "Ένα μικρό πουλί.", about="Πώς είναι;", origin="import"),
        ),
        ("long_phrase", "no_sentence"),
    ),
    Entry("colt's foot", None, (Line("phrase", "back\\slash, comma; semicolon", origin="import"),), ()),
    Entry("nothing is said", None, (), ()),
)  # fmt: skip

WITH_LINE_ENDS = (Entry("two lines", None, (Line("phrase", 'first\nsecond, "third"\r\nfourth', "a\nb"),)),)
"""The readers join the lines of these texts. The golden file records how the writers quote them."""

LABEL2TEXT = "007.colt's_foot 7 colt's_foot\n"
"""An imported file: its rows keep their folder and number."""

WRITERS: Mapping[str, Callable[[], str]] = {
    "set.json": lambda: "".join(write_json(ENTRIES, **HEAD)),
    "set.csv": lambda: "".join(write_csv(ENTRIES)),
    "set.jsonl": lambda: "".join(write_jsonl(ENTRIES)),
    "set.dclip.json": lambda: write_dclip(ENTRIES),
    "set.cupl.json": lambda: write_cupl(ENTRIES),
    "set.label2text.txt": lambda: write_label2text(label2text_of(ENTRIES)),
    "set.sentences.txt": lambda: write_sentences(ENTRIES),
    "line_ends.json": lambda: "".join(write_json(WITH_LINE_ENDS)),
    "line_ends.csv": lambda: "".join(write_csv(WITH_LINE_ENDS)),
    "known.label2text.txt": lambda: write_label2text(label2text_of(ENTRIES, read_label2text(LABEL2TEXT))),
}
"""Golden file → the function that returns its content."""

READERS: Mapping[str, Callable[[str], list[Entry]]] = {
    "set.json": lambda text: read_json(text).entries,
    "set.csv": read_csv,
    "set.jsonl": read_jsonl,
    "set.dclip.json": read_dclip,
    "set.cupl.json": read_cupl,
}

API_FORMATS: Mapping[str, str] = {
    "json": "set.json",
    "csv": "set.csv",
    "jsonl": "set.jsonl",
    "dclip": "set.dclip.json",
    "cupl": "set.cupl.json",
    "label2text": "set.label2text.txt",
    "sentences": "set.sentences.txt",
}
"""Format of `GET /v1/attribute-sets/{id}/export` → the golden file with its bytes."""


def golden_bytes(name: str) -> bytes:
    """The bytes of a golden file."""
    return (FOLDER / name).read_bytes()


def record(_: Path) -> dict[str, Any]:
    """Write the golden files of the formats. Returns the content of `export.json`: the parsed files."""
    FOLDER.mkdir(exist_ok=True)
    for name, write in WRITERS.items():
        (FOLDER / name).write_bytes(write().encode())
    return read_back()


def read_back() -> dict[str, Any]:
    """The golden file of each format, parsed by its reader."""
    found = {name: read(golden_bytes(name).decode()) for name, read in READERS.items()}
    rows = read_label2text(golden_bytes("set.label2text.txt").decode())
    found["sentences"] = join_sentences(rows, golden_bytes("set.sentences.txt").decode())
    return {name: [entry.as_json() for entry in entries] for name, entries in found.items()}


def import_body(format: str) -> dict[str, str]:
    """The request body that imports the golden file of this format."""
    if format in ("label2text", "sentences"):
        return {
            "format": "label2text",
            "label2text": golden_bytes("set.label2text.txt").decode(),
            "sentences": golden_bytes("set.sentences.txt").decode(),
        }
    return {"format": format, "document": golden_bytes(API_FORMATS[format]).decode()}


def imported(client: TestClient, format: str) -> dict[str, Any]:
    """Import the golden file of a format as a new set with a new vocabulary."""
    answer = client.post("/v1/attribute-sets/import", json=import_body(format))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def exported(client: TestClient, id: str, format: str) -> bytes:
    """The export of a set in a format."""
    answer = client.get(f"/v1/attribute-sets/{id}/export", params={"format": format})
    assert answer.status_code == 200, answer.text
    return answer.content
