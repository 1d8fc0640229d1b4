"""Labels of a set found by name, gate, flag, origin and lock, page by page; and sets compared."""

import time
from typing import Any

import pytest

from store.models import GateFailure, SetReport
from store.sets.attribute_sets import PAGE_SIZE
from tests.api.conftest import Service
from tests.api.routes.test_drafts import IMPORT, patch, seal

NUM_LABELS = 2 * PAGE_SIZE + 40
ORIGINS = ("llm", "human", "import")


@pytest.fixture
def set_id(service: Service) -> str:
    """Every tenth label with a sense, every seventh flagged, every ninth locked, every fiftieth without a line."""
    entries: list[dict[str, Any]] = []
    for n in range(NUM_LABELS):
        line = {"kind": "phrase", "text": f"mark {n}", "origin": ORIGINS[n % 3], "locked": n % 9 == 0}
        entries.append(
            {
                "label": f"Bird {n}",
                "sense": "Übergröße" if n % 10 == 0 else None,
                "lines": [] if n % 50 == 0 else [line],
                "flags": ["too_few_phrases"] if n % 7 == 0 and n % 50 else [],
            }
        )
    document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
    id: str = service.post(IMPORT, {"format": "json", "document": document})["id"]
    return id


def found(service: Service, id: str, *, limit: int = 13, **where: Any) -> list[int]:
    """The positions of all pages together."""
    positions: list[int] = []
    after: str | None = None
    while True:
        page = service.get(
            f"/v1/attribute-sets/{id}/labels", limit=limit, **where, **({"after": after} if after else {})
        )
        positions += [one["position"] for one in page["data"]]
        assert len(page["data"]) <= limit
        if not page["has_more"]:
            return positions
        assert len(page["data"]) == limit
        after = page["last_id"]


def check(service: Service, set_id: str, gate: str, positions: list[int]) -> None:
    """Write a report as the gates do."""
    with service.db.write() as tx:
        tx.add(SetReport(set_id=set_id, teacher="", figures={}, file_key="", created_at=time.time()))
        tx.add_all(GateFailure(set_id=set_id, gate=gate, position=at) for at in positions)


def test_labels_are_found_by_each_filter_and_by_several(service: Service, set_id: str) -> None:
    every = range(NUM_LABELS)
    check(service, set_id, "comparatives", [n for n in every if n % 4 == 0])
    assert found(service, set_id, q="bIRD 12") == [n for n in every if str(n).startswith("12")]
    assert found(service, set_id, q="ÜBERGRÖSSE") == [n for n in every if n % 10 == 0]
    assert found(service, set_id, q="%") == found(service, set_id, q="_") == []
    assert found(service, set_id, label="bird 12") == [12]
    assert found(service, set_id, label="Bird 120") == [120]
    assert found(service, set_id, flag="too_few_phrases") == [n for n in every if n % 7 == 0 and n % 50]
    assert found(service, set_id, flag="empty") == []
    assert found(service, set_id, locked=True) == [n for n in every if n % 9 == 0 and n % 50]
    assert found(service, set_id, origin="human") == [n for n in every if n % 3 == 1 and n % 50]
    assert found(service, set_id, undescribed=True) == [n for n in every if n % 50 == 0]
    assert found(service, set_id, gate="comparatives") == [n for n in every if n % 4 == 0]
    assert found(service, set_id, gate="comparatives", q="bird 1", locked=True, origin="llm") == [
        n for n in every if n % 4 == 0 and str(n).startswith("1") and n % 9 == 0 and n % 50
    ]
    assert found(service, set_id, gate="twins") == []


def test_a_gate_wants_a_report_and_a_filter_that_is_none_is_told_so(service: Service, set_id: str) -> None:
    path = f"/v1/attribute-sets/{set_id}/labels"
    answer = service.http.get(path, params={"gate": "comparatives"})
    assert (answer.status_code, answer.json()["code"]) == (409, "set_not_checked")
    for wrong in ({"origin": "robot"}, {"gate": "frobnicate"}, {"q": "x" * 201}, {"locked": "perhaps"}):
        answer = service.http.get(path, params=wrong)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == next(iter(wrong))


def test_marks_follow_an_edit_into_the_next_set(service: Service, set_id: str) -> None:
    patch(
        service,
        set_id,
        {"op": "lock", "position": 1},
        {"op": "unlock", "position": 9},
        {"op": "replace", "position": 7, "lines": [{"kind": "phrase", "text": "one"}]},
        {"op": "add", "position": 50, "kind": "phrase", "text": "two"},
    )
    made = seal(service, set_id)["id"]
    before, after = (set(found(service, id, locked=True)) for id in (set_id, made))
    assert (after - before, before - after) == ({1}, {9})
    before, after = (set(found(service, id, origin="human")) for id in (set_id, made))
    assert (after - before, before - after) == ({50}, set())
    assert set(found(service, set_id, flag="too_few_phrases")) - set(found(service, made, flag="too_few_phrases")) == {
        7
    }
    assert set(found(service, set_id, undescribed=True)) - set(found(service, made, undescribed=True)) == {50}


def differences(service: Service, id: str, other: str, *, limit: int = 20) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        params = {"with": other, "limit": limit} | ({"after": after} if after else {})
        page = service.get(f"/v1/attribute-sets/{id}/compare", **params)
        told += page["data"]
        if not page["has_more"]:
            return told
        after = page["last_id"]


def test_what_an_edit_changed_is_told_per_label(service: Service, set_id: str) -> None:
    line = service.get(f"/v1/attribute-sets/{set_id}/labels", after=298, limit=1)["data"][0]["lines"][0]
    patch(
        service,
        set_id,
        {"op": "edit", "position": 299, "line": line["id"], "text": "another mark"},
        {"op": "lock", "position": 299},
        {"op": "unlock", "position": 9},
        {"op": "lock", "position": 520},
        {"op": "add", "position": 50, "kind": "phrase", "text": "two"},
    )
    made = seal(service, set_id)["id"]
    told = differences(service, made, set_id, limit=3)
    assert [(one["position"], one["with_position"]) for one in told] == [(9, 9), (50, 50), (299, 299), (520, 520)]

    def texts(one: dict[str, Any]) -> tuple[list[str], ...]:
        return tuple([line["text"] for line in one[what]] for what in ("added", "removed", "locked", "unlocked"))

    assert texts(told[0]) == ([], [], [], ["mark 9"])
    assert texts(told[1]) == (["two"], [], [], [])
    assert texts(told[2]) == (["another mark"], ["mark 299"], [], [])
    assert texts(told[3]) == ([], [], ["mark 520"], [])
    backwards = differences(service, set_id, made)
    assert texts(backwards[2]) == (["mark 299"], ["another mark"], [], [])
    assert differences(service, made, made) == []
    answer = service.http.get(f"/v1/attribute-sets/{made}/compare", params={"with": "ats_none"})
    assert (answer.status_code, answer.json()["code"]) == (404, "attribute_set_not_found")
    assert service.http.get(f"/v1/attribute-sets/{made}/compare").json()["errors"][0]["parameter"] == "with"


def test_what_else_can_differ_is_named(service: Service) -> None:
    one = {"kind": "phrase", "text": "one", "origin": "llm", "call": "ab"}
    two = {"kind": "phrase", "text": "two"}

    def made(vocabulary_id: str | None, *lines: dict[str, Any], flags: tuple[str, ...] = ()) -> dict[str, Any]:
        entries = [{"label": "crane", "lines": list(lines), "flags": list(flags)}, {"label": "ibis", "lines": [two]}]
        document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
        where = {"vocabulary_id": vocabulary_id} if vocabulary_id else {}
        return service.post(IMPORT, {"format": "json", "document": document, **where})

    first = made(None, one, two)
    for other, what in (
        (made(first["vocabulary_id"], two, one), ["order"]),
        (made(first["vocabulary_id"], {**one, "call": "cd"}, two), ["provenance"]),
        (made(first["vocabulary_id"], one, two, flags=("long_phrase",)), ["flags"]),
    ):
        (told,) = differences(service, other["id"], first["id"])
        assert (told["label"], told["added"], told["removed"], told["other"]) == ("crane", [], [], what)


def test_sets_of_two_vocabularies_are_compared_by_label_and_sense(service: Service, set_id: str) -> None:
    entries = service.http.get(f"/v1/attribute-sets/{set_id}/export").json()["entries"]
    entries.reverse()
    entries[5]["lines"] = [{"kind": "phrase", "text": "new"}]
    gone, changed = entries.pop(100), entries[5]
    entries.append({"label": "a new bird", "lines": [{"kind": "phrase", "text": "new"}]})
    entries.append({"label": "bird 10", "sense": "a plane"})  # with another sense it is another label
    document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
    other = service.post(IMPORT, {"format": "json", "document": document, "name": "another"})["id"]
    for limit in (1, 20):
        told = differences(service, other, set_id, limit=limit)
        assert [(one["label"], one["sense"], one["with_position"]) for one in told] == [
            (changed["label"], None, NUM_LABELS - 6),
            ("a new bird", None, None),
            ("bird 10", "a plane", None),
            (gone["label"], gone["sense"], NUM_LABELS - 101),
        ]
    assert told[-1]["position"] is None
    assert [line["text"] for line in told[-1]["removed"]] == [line["text"] for line in gone["lines"]]
    assert [line["text"] for line in told[0]["removed"]] == [f"mark {NUM_LABELS - 6}"]
