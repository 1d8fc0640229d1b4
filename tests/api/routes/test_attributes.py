"""The labels of a set with their lines: filters by name, gate, flag, origin and lock, and paging."""

import time
from typing import Any

import pytest

from store.models import GateFailure, SetReport
from tests.api.conftest import Service
from tests.api.drafting import NUM_LABELS, patch, seal


def positions_of(service: Service, id: str, *, limit: int = 13, **where: Any) -> list[int]:
    """The positions on all pages."""
    positions: list[int] = []
    after: str | None = None
    while True:
        page = service.get(
            f"/v1/attribute-sets/{id}/labels", limit=limit, **where, **({"after": after} if after else {})
        )
        positions += [item["position"] for item in page["data"]]
        assert len(page["data"]) <= limit
        if not page["has_more"]:
            return positions
        assert len(page["data"]) == limit
        after = page["last_id"]


def add_report(service: Service, set_id: str, gate: str, positions: list[int]) -> None:
    """Store a report in which `positions` fail the gate."""
    with service.db.write() as tx:
        tx.add(SetReport(set_id=set_id, teacher="", figures={}, file_key="", created_at=time.time()))
        tx.add_all(GateFailure(set_id=set_id, gate=gate, position=at) for at in positions)


@pytest.mark.slow
def test_each_filter_and_combined_filters(service: Service, large_set_id: str) -> None:
    every = range(NUM_LABELS)
    add_report(service, large_set_id, "comparatives", [n for n in every if n % 4 == 0])
    assert positions_of(service, large_set_id, q="bIRD 12") == [n for n in every if str(n).startswith("12")]
    assert positions_of(service, large_set_id, q="ÜBERGRÖSSE") == [n for n in every if n % 10 == 0]
    assert positions_of(service, large_set_id, q="%") == positions_of(service, large_set_id, q="_") == []
    assert positions_of(service, large_set_id, label="bird 12") == [12]
    assert positions_of(service, large_set_id, label="Bird 120") == [120]
    assert positions_of(service, large_set_id, flag="too_few_phrases") == [n for n in every if n % 7 == 0 and n % 50]
    assert positions_of(service, large_set_id, flag="empty") == []
    assert positions_of(service, large_set_id, locked=True) == [n for n in every if n % 9 == 0 and n % 50]
    assert positions_of(service, large_set_id, origin="human") == [n for n in every if n % 3 == 1 and n % 50]
    assert positions_of(service, large_set_id, undescribed=True) == [n for n in every if n % 50 == 0]
    assert positions_of(service, large_set_id, gate="comparatives") == [n for n in every if n % 4 == 0]
    assert positions_of(service, large_set_id, gate="comparatives", q="bird 1", locked=True, origin="llm") == [
        n for n in every if n % 4 == 0 and str(n).startswith("1") and n % 9 == 0 and n % 50
    ]
    assert positions_of(service, large_set_id, gate="twins") == []


@pytest.mark.slow
def test_lines_are_searched_alone_and_with_labels(service: Service, large_set_id: str) -> None:
    described = [n for n in range(NUM_LABELS) if n % 50]
    add_report(service, large_set_id, "comparatives", described[::4])

    def found(q: str, within: str = "lines", **where: Any) -> list[int]:
        return positions_of(service, large_set_id, q=q, within=within, **where)

    assert found("MARK 12") == [n for n in described if str(n).startswith("12")]
    assert found("ark") == described
    assert found("12\nmark") == found("12\x1emark 13") == found("phrase") == found("%") == []
    assert found("mark 12", "labels") == []
    assert found("51", "all") == [n for n in range(NUM_LABELS) if "51" in str(n)]
    assert found("größe", "all", locked=True) == [n for n in described if n % 10 == 0 and n % 9 == 0]
    assert found("mark 1", gate="comparatives", origin="human", label="bird 13") == [13]
    assert found("mark 1", gate="comparatives", origin="human") == [
        n for n in described[::4] if str(n).startswith("1") and n % 3 == 1
    ]
    sealed = patch(service, large_set_id, {"op": "add", "position": 300, "kind": "phrase", "text": "ein ROTER Fuß"})
    assert sealed["num_edited"] == 1
    assert found("roter") == []
    large_set_id = seal(service, large_set_id)["id"]
    assert found("roter fuss") == [300]
    assert found("mark 299") == [299]
    assert found("mark 301") == [301]


@pytest.mark.slow
def test_labels_that_no_person_reviewed_and_labels_that_the_draft_changes(service: Service, large_set_id: str) -> None:
    unreviewed = [n for n in range(NUM_LABELS) if n % 50 == 0 or (n % 9 and n % 3 != 1)]
    assert positions_of(service, large_set_id, unreviewed=True) == unreviewed
    assert positions_of(service, large_set_id, unreviewed=True, q="bird 12") == [
        n for n in unreviewed if str(n).startswith("12")
    ]
    first, second, third = [n for n in unreviewed if n % 50][-3:]
    edits = [
        {"op": "add", "position": first, "kind": "phrase", "text": "seen"},
        {"op": "lock", "position": second},
        {
            "op": "delete",
            "position": third,
            "line": service.get(f"/v1/attribute-sets/{large_set_id}/labels", limit=1, after=third - 1)["data"][0][
                "lines"
            ][0]["id"],
        },
    ]
    patch(service, large_set_id, *edits)
    assert positions_of(service, large_set_id, unreviewed=True) == unreviewed
    assert positions_of(service, large_set_id, unreviewed=True, draft=True) == [
        n for n in unreviewed if n not in (first, second)
    ]
    assert positions_of(service, large_set_id, changed=True, limit=2) == [first, second, third]
    assert positions_of(service, large_set_id, changed=True, q=f"bird {second}") == [second]
    assert positions_of(service, large_set_id, changed=True, q=f"mark {third}", within="all") == [third]
    add_report(service, large_set_id, "twins", [1, second])
    assert positions_of(service, large_set_id, changed=True, gate="twins") == [second]


def test_filter_by_gate_needs_a_report_and_invalid_filters_are_rejected(service: Service, large_set_id: str) -> None:
    path = f"/v1/attribute-sets/{large_set_id}/labels"
    response = service.http.get(path, params={"gate": "comparatives"})
    assert (response.status_code, response.json()["code"]) == (409, "set_not_checked")
    for wrong in ({"origin": "robot"}, {"gate": "frobnicate"}, {"q": "x" * 201}, {"locked": "perhaps"}):
        response = service.http.get(path, params=wrong)
        assert response.status_code == 422
        assert response.json()["errors"][0]["parameter"] == next(iter(wrong))


@pytest.mark.slow
def test_filters_match_the_edits_of_a_sealed_draft(service: Service, large_set_id: str) -> None:
    patch(
        service,
        large_set_id,
        {"op": "lock", "position": 1},
        {"op": "unlock", "position": 9},
        {"op": "replace", "position": 7, "lines": [{"kind": "phrase", "text": "one"}]},
        {"op": "add", "position": 50, "kind": "phrase", "text": "two"},
    )
    created = seal(service, large_set_id)["id"]
    before, after = (set(positions_of(service, id, locked=True)) for id in (large_set_id, created))
    assert (after - before, before - after) == ({1}, {9})
    before, after = (set(positions_of(service, id, origin="human")) for id in (large_set_id, created))
    assert (after - before, before - after) == ({50}, set())
    assert set(positions_of(service, large_set_id, flag="too_few_phrases")) - set(
        positions_of(service, created, flag="too_few_phrases")
    ) == {7}
    assert set(positions_of(service, large_set_id, undescribed=True)) - set(
        positions_of(service, created, undescribed=True)
    ) == {50}
