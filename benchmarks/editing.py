"""Editing, searching and comparing a set of 100,000 labels: `python -m benchmarks.editing [--only sqlite|postgres]`.

The API runs in its own process. Each label has one sentence and six phrases. Each measurement is the median time of
several requests, with the slowest one; the exit code is 1 if a target is missed. `benchmarks.pages` times the pages.
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

from attributes.gates.types import GATE_TITLES
from benchmarks import load
from benchmarks.measurement import Measurement
from benchmarks.service import database
from store import vocabularies
from store.db import Database
from store.json_types import LineJSON
from store.migrate import upgrade
from store.models import AttributeEntry, AttributePage, AttributeSet, AttributeSetPage, GateFailure, SetReport
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from store.vocabularies import NewLabel

NUM_LABELS = 100_000
NUM_REPEATS = 15
_TABLES = {
    "entries": AttributeEntry,
    "pages": AttributePage,
    "page references": AttributeSetPage,
    "sets": AttributeSet,
}


def fill(db: Database) -> tuple[str, str]:
    """Create two sets of one sentence and six phrases per label: one in order, one of a vocabulary in reverse order.

    Every third label has a flag; one label near the end has another flag. Returns the ids of the sets.
    """
    names = [NewLabel(f"species number {n}") for n in range(NUM_LABELS)]
    ids: list[str] = []
    for labels in (names, names[::-1]):
        with db.write() as tx:
            vocabulary = vocabularies.create(tx, name="all", domain="birds", labels=labels)
            pages: list[str] = []
            for start in range(0, NUM_LABELS, 40 * attribute_sets.PAGE_SIZE):
                chunk = labels[start : start + 40 * attribute_sets.PAGE_SIZE]
                pages += attribute_sets.put_pages(tx, [_content(label.name) for label in chunk])
            made = attribute_sets.create(tx, vocabulary_id=vocabulary.id, pages=pages, source={})
            report = {
                "set_id": made.id,
                "teacher": "",
                "figures": _figures(),
                "file_key": "",
                "created_at": time.time(),
            }
            tx.add(SetReport(**report))
            tx.add_all(GateFailure(set_id=made.id, gate="twins", position=at) for at in range(0, NUM_LABELS, 97))
            ids.append(made.id)
    return ids[0], ids[1]


def _figures() -> dict[str, Any]:
    pairs = [{"labels": ["", ""], "positions": [at, NUM_LABELS - 1 - at], "margin": 0.01} for at in range(20)]
    gates = [
        {
            "gate": gate,
            "tells": title,
            "unit": "labels",
            "figure": 7,
            "threshold": 0,
            "holds": False,
            "num_labels": 7,
            "details": {"most_confusable": pairs} if gate == "margin" else {},
        }
        for gate, title in GATE_TITLES.items()
    ]
    return {"gates": gates, "places": {}, "holds": False}


def _content(name: str) -> EntryContent:
    number = int(name.rpartition(" ")[2])
    flags = ["too_few_phrases"] if number % 3 == 0 else []
    flags += ["long_sentence"] if number == NUM_LABELS - 50 else []
    lines: list[LineJSON] = [
        {"kind": "phrase", "text": f"a long part {n} of {number}", "part": f"part {n}", "origin": "llm", "call": name}
        for n in range(6)
    ]
    lines.insert(0, {"kind": "sentence", "text": f"Species {number} has a slender body.", "origin": "llm"})
    return EntryContent(label=name, sense=None, lines=lines, flags=flags)


class TimedClient:
    """HTTP client of one attribute set that records the time of each request."""

    def __init__(self, port: int, set_id: str) -> None:
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=120, trust_env=False)
        self.set_id = set_id
        self.times_s: list[float] = []

    def request(
        self,
        method: str,
        path: str = "",
        *,
        set_id: str = "",
        json: object = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
    ) -> dict[str, Any]:
        """The JSON of the response. Records the time. Raises for a status of 400 or above."""
        start = time.perf_counter()
        response = self.http.request(
            method, f"/v1/attribute-sets/{set_id or self.set_id}{path}", json=json, headers=headers, params=params
        )
        self.times_s.append(time.perf_counter() - start)
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body

    def measurement(self, name: str, target_ms: float, note: str = "") -> Measurement:
        """The median of the times recorded since the last measurement."""
        median, slowest = statistics.median(self.times_s) * 1000, max(self.times_s) * 1000
        self.times_s.clear()
        measured = f"{median:.1f} ms, slowest {slowest:.1f} ms{note}"
        return Measurement(name, f"< {target_ms:g} ms", measured, median < target_ms)


def editing(client: TimedClient, db: Database) -> Iterator[Measurement]:
    """Edit one label, and seal the draft, several times."""
    version = client.request("GET", "/draft")["version"]
    client.times_s.clear()
    for number in range(NUM_REPEATS):
        add = {"op": "add", "position": 61_000 + number, "kind": "phrase", "text": f"a crown {number}"}
        draft = client.request("PATCH", "/draft", json={"operations": [add]}, headers={"If-Match": f'"{version}"'})
        version = draft["version"]
    yield client.measurement("PATCH of one label", 50)
    client.request("DELETE", "/draft")
    client.times_s.clear()
    seal_times_s: list[float] = []
    for number in range(NUM_REPEATS):
        add = {"op": "add", "position": 50_000, "kind": "phrase", "text": f"a crest {number}"}
        client.request("PATCH", "/draft", json={"operations": [add]}, headers={"If-Match": "*"})
        client.times_s.clear()
        before = _num_rows(db)
        client.request("POST", "/draft/seal")
        seal_times_s += client.times_s
        after = _num_rows(db)
    client.times_s[:] = seal_times_s
    written = ", ".join(f"{after[name] - before[name]} {name}" for name in _TABLES)
    yield client.measurement("seal after an edit of one label", 100, f"; rows written: {written}")


def _num_rows(db: Database) -> dict[str, int]:
    with db.read() as tx:
        return {name: tx.scalar(select(func.count()).select_from(table)) or 0 for name, table in _TABLES.items()}


def comparing(client: TimedClient, other_id: str) -> Iterator[Measurement]:
    """Compare a set with its parent, which differs in one label, and with a set of a vocabulary in reverse order."""
    child = client.http.get("/v1/attribute-sets", params={"parent_id": client.set_id}).json()["data"][0]["id"]
    for _ in range(NUM_REPEATS):
        page = client.request("GET", "/compare", set_id=child, params={"with": client.set_id})
    assert [one["position"] for one in page["data"]] == [50_000]
    yield client.measurement("compare two sets that differ in one label", 50)
    for _ in range(3):
        page = client.request("GET", "/compare", set_id=child, params={"with": other_id})
    assert [one["position"] for one in page["data"]] == [50_000]
    yield client.measurement("compare two sets of different vocabularies", 5_000)


def searching(client: TimedClient) -> Iterator[Measurement]:
    """List labels: the first and last page, and pages with each filter."""
    cases: list[tuple[str, Mapping[str, str | int], int]] = [
        ("first page", {}, 100),
        ("last page", {"after": NUM_LABELS - 101}, 100),
        ("q in every label", {"q": "SPECIES"}, 100),
        ("q in one label", {"q": "number 99950"}, 1),
        ("q in no label", {"q": "heron"}, 0),
        ("q in every line", {"q": "PART", "within": "lines"}, 100),
        ("q in a line of one label", {"q": "part 3 of 99950", "within": "all"}, 1),
        ("q in no line", {"q": "heron", "within": "all"}, 0),
        ("q in a line of one label and gate", {"q": "part 3 of 97000", "within": "lines", "gate": "twins"}, 1),
        ("never reviewed, first page", {"unreviewed": True}, 100),
        ("never reviewed, a late page, with the draft", {"unreviewed": True, "draft": True, "after": 90_000}, 100),
        ("one label by name", {"label": "Species number 77777"}, 1),
        ("gate, first page", {"gate": "twins"}, 100),
        ("gate, a late page", {"gate": "twins", "after": 90_000}, 100),
        ("gate and q", {"gate": "twins", "q": "number 9700"}, 2),
        ("flag of every third label", {"flag": "too_few_phrases"}, 100),
        ("flag of one label", {"flag": "long_sentence"}, 1),
        ("flag of every third label and q in one", {"flag": "too_few_phrases", "q": "number 99999"}, 1),
        ("origin of all labels", {"origin": "llm", "after": 90_000}, 100),
        ("locked, no label", {"locked": True}, 0),
    ]
    for name, params, count in cases:
        for _ in range(NUM_REPEATS):
            page = client.request("GET", "/labels", params={"limit": 100, **params})
        assert len(page["data"]) == count, (name, len(page["data"]))
        yield client.measurement(f"labels: {name}", 100)


def measure(kind: str, show: Callable[[Measurement], None]) -> None:
    """Measure on one kind of database; `show` receives each measurement."""
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
            client = TimedClient(port, set_id)
            for measurements in (searching(client), editing(client, db), comparing(client, other_id)):
                for one in measurements:
                    show(one)
            client.http.close()
        db.dispose()


def main() -> int:
    """Run the command line: print the table; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    only = parser.parse_args().only
    table = Table("", "database", "target", "measured", "", title=load.machine(), title_justify="left")
    num_missed = 0
    for kind in ("sqlite", "postgres") if only is None else (only,):

        def show(one: Measurement, kind: str = kind) -> None:
            nonlocal num_missed
            num_missed += not one.ok
            table.add_row(one.name, kind, one.target, one.measured, one.verdict)

        try:
            measure(kind, show)
        except psycopg.OperationalError as error:
            table.add_row("all", kind, "", f"skipped: no server ({error})".strip(), "")
    Console(width=170).print(table)
    return 1 if num_missed else 0


if __name__ == "__main__":
    sys.exit(main())
