"""Editing, searching and comparing a set of 100,000 labels: `python -m benchmarks.editing [--only sqlite|postgres]`.

The API runs in a process of its own. Each label has a sentence and six phrases. Figures are medians of requests, with
the slowest one; the exit status is 1 where a target is missed.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from benchmarks import load
from benchmarks.service import Figure, database
from store import vocabularies
from store.db import Database
from store.migrate import upgrade
from store.models import AttributeEntry, AttributePage, AttributeSet, AttributeSetPage, GateFailure, SetReport
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from store.vocabularies import NewLabel

NUM_LABELS = 100_000
TIMES = 15
_TABLES = {
    "entries": AttributeEntry,
    "pages": AttributePage,
    "places of pages": AttributeSetPage,
    "sets": AttributeSet,
}


def fill(db: Database) -> tuple[str, str]:
    """A set of a sentence and six phrases a label, and the same of another vocabulary, turned round; their ids.

    Every third label has a flag; one, near the end, has a flag of its own.
    """
    names = [NewLabel(f"species number {n}") for n in range(NUM_LABELS)]
    ids: list[str] = []
    for listed in (names, names[::-1]):
        with db.write() as tx:
            vocabulary = vocabularies.create(tx, name="all", domain="birds", labels=listed)
            pages: list[str] = []
            for start in range(0, NUM_LABELS, 40 * attribute_sets.PAGE_SIZE):
                some = listed[start : start + 40 * attribute_sets.PAGE_SIZE]
                pages += attribute_sets.put_pages(tx, [_content(label.name) for label in some])
            made = attribute_sets.create(tx, vocabulary_id=vocabulary.id, pages=pages, source={})
            report = {"set_id": made.id, "teacher": "", "figures": {}, "file_key": "", "created_at": time.time()}
            tx.add(SetReport(**report))
            tx.add_all(GateFailure(set_id=made.id, gate="twins", position=at) for at in range(0, NUM_LABELS, 97))
            ids.append(made.id)
    return ids[0], ids[1]


def _content(name: str) -> EntryContent:
    number = int(name.rpartition(" ")[2])
    flags = ["too_few_phrases"] if number % 3 == 0 else []
    flags += ["long_sentence"] if number == NUM_LABELS - 50 else []
    lines: list[Any] = [
        {"kind": "phrase", "text": f"a long part {n} of {number}", "part": f"part {n}", "origin": "llm", "call": name}
        for n in range(6)
    ]
    lines.insert(0, {"kind": "sentence", "text": f"Species {number} has a slender body.", "origin": "llm"})
    return EntryContent(label=name, sense=None, lines=lines, flags=flags)


class Client:
    """Requests to a set, each timed."""

    def __init__(self, port: int, set_id: str) -> None:
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
        self.set_id = set_id
        self.took: list[float] = []

    def ask(self, method: str, path: str = "", *, set_id: str = "", **more: Any) -> dict[str, Any]:
        """The JSON of an answer below 400; how long it took is noted."""
        began = time.perf_counter()
        answer = self.http.request(method, f"/v1/attribute-sets/{set_id or self.set_id}{path}", **more)
        self.took.append(time.perf_counter() - began)
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        return told

    def told(self, what: str, target_ms: float, more: str = "") -> Figure:
        """What was measured since the last figure."""
        median, worst = statistics.median(self.took) * 1000, max(self.took) * 1000
        self.took.clear()
        return Figure(what, f"< {target_ms:g} ms", f"{median:.1f} ms, slowest {worst:.1f} ms{more}", median < target_ms)


def editing(client: Client, db: Database) -> Iterator[Figure]:
    """One label edited, and the set sealed, again and again."""
    version = client.ask("GET", "/draft")["version"]
    client.took.clear()
    for number in range(TIMES):
        add = {"op": "add", "position": 61_000 + number, "kind": "phrase", "text": f"a crown {number}"}
        told = client.ask("PATCH", "/draft", json={"operations": [add]}, headers={"If-Match": f'"{version}"'})
        version = told["version"]
    yield client.told("PATCH of one label", 50)
    client.ask("DELETE", "/draft")
    client.took.clear()
    sealed: list[float] = []
    for number in range(TIMES):
        add = {"op": "add", "position": 50_000, "kind": "phrase", "text": f"a crest {number}"}
        client.ask("PATCH", "/draft", json={"operations": [add]}, headers={"If-Match": "*"})
        client.took.clear()
        before = _rows(db)
        client.ask("POST", "/draft/seal")
        sealed += client.took
        after = _rows(db)
    client.took[:] = sealed
    grown = ", ".join(f"{after[name] - before[name]} {name}" for name in _TABLES)
    yield client.told("seal after an edit of one label", 100, f"; rows written: {grown}")


def _rows(db: Database) -> dict[str, int]:
    with db.read() as tx:
        return {name: tx.scalar(select(func.count()).select_from(table)) or 0 for name, table in _TABLES.items()}


def comparing(client: Client, other_id: str) -> Iterator[Figure]:
    """A set with a child that differs in one label, and with the same labels of another vocabulary, turned round."""
    child = client.http.get("/v1/attribute-sets", params={"parent_id": client.set_id}).json()["data"][0]["id"]
    for _ in range(TIMES):
        told = client.ask("GET", "/compare", set_id=child, params={"with": client.set_id})
    assert [one["position"] for one in told["data"]] == [50_000]
    yield client.told("compare of two sets that differ in one label", 50)
    for _ in range(3):
        told = client.ask("GET", "/compare", set_id=child, params={"with": other_id})
    assert [one["position"] for one in told["data"]] == [50_000]
    yield client.told("the same of two vocabularies, the whole walk", 5_000)


def searching(client: Client) -> Iterator[Figure]:
    """First and last pages, plain and by each filter."""
    cases: list[tuple[str, Mapping[str, Any], int]] = [
        ("labels, first page", {}, 100),
        ("labels, last page", {"after": NUM_LABELS - 101}, 100),
        ("q in every label", {"q": "SPECIES"}, 100),
        ("q in one label", {"q": "number 99950"}, 1),
        ("q in none", {"q": "heron"}, 0),
        ("one label by name", {"label": "Species number 77777"}, 1),
        ("gate, first page", {"gate": "twins"}, 100),
        ("gate, a late page", {"gate": "twins", "after": 90_000}, 100),
        ("gate and q", {"gate": "twins", "q": "number 9700"}, 2),
        ("flag of every third", {"flag": "too_few_phrases"}, 100),
        ("flag of one label", {"flag": "long_sentence"}, 1),
        ("flag of every third and q of one", {"flag": "too_few_phrases", "q": "number 99999"}, 1),
        ("origin of all", {"origin": "llm", "after": 90_000}, 100),
        ("locked: none", {"locked": True}, 0),
    ]
    for what, params, count in cases:
        for _ in range(TIMES):
            told = client.ask("GET", "/labels", params={"limit": 100, **params})
        assert len(told["data"]) == count, (what, len(told["data"]))
        yield client.told(f"labels: {what.removeprefix('labels, ')}", 100)


def measure(kind: str, show: Callable[[Figure], None]) -> None:
    """All figures over one kind of database."""
    with tempfile.TemporaryDirectory() as scratch, database(kind, Path(scratch)) as url:
        db = Database(url)
        upgrade(db)
        set_id, other_id = fill(db)
        port = load.free_port()
        environment = {
            "LIMBECK_HOME": scratch,
            "LIMBECK_DATABASE_URL": url,
            "LIMBECK_PORT": str(port),
            "LIMBECK_HOST": "127.0.0.1",
            "LIMBECK_ARTEFACTS_URL": "",
            "LIMBECK_REDIS_URL": "",
            "LIMBECK_LLM_MODEL": "m",
        }
        with load.process(["-m", "api"], environment) as child:
            load.wait_for(f"http://127.0.0.1:{port}/healthz", child)
            client = Client(port, set_id)
            for figures in (searching(client), editing(client, db), comparing(client, other_id)):
                for figure in figures:
                    show(figure)
            client.http.close()
        db.dispose()


def main() -> int:
    """Measure and print the table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    asked = parser.parse_args()
    table = Table("", "database", "target", "measured", "", title=load.machine(), title_justify="left")
    missed = 0
    for kind in ("sqlite", "postgres") if asked.only is None else (asked.only,):

        def show(figure: Figure, kind: str = kind) -> None:
            nonlocal missed
            missed += not figure.ok
            table.add_row(figure.what, kind, figure.target, figure.measured, "ok" if figure.ok else "MISSED")

        try:
            measure(kind, show)
        except psycopg.OperationalError as error:
            table.add_row("all", kind, "", f"skipped: no server ({error})".strip(), "")
    Console(width=170).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
