"""Comparison of two attribute sets."""

from typing import Any

import pytest

from tests.api.conftest import Service
from tests.api.drafting import IMPORT, NUM_LABELS, patch, seal


def differences(service: Service, id: str, other: str, *, limit: int = 20) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    after: str | None = None
    while True:
        params = {"with": other, "limit": limit} | ({"after": after} if after else {})
        page = service.get(f"/v1/attribute-sets/{id}/compare", **params)
        result += page["data"]
        if not page["has_more"]:
            return result
        after = page["last_id"]


def test_edits_are_listed_per_label(service: Service, large_set_id: str) -> None:
    line = service.get(f"/v1/attribute-sets/{large_set_id}/labels", after=298, limit=1)["data"][0]["lines"][0]
    patch(
        service,
        large_set_id,
        {"op": "edit", "position": 299, "line": line["id"], "text": "another mark"},
        {"op": "lock", "position": 299},
        {"op": "unlock", "position": 9},
        {"op": "lock", "position": 520},
        {"op": "add", "position": 50, "kind": "phrase", "text": "two"},
    )
    created = seal(service, large_set_id)["id"]
    result = differences(service, created, large_set_id, limit=3)
    assert [(item["position"], item["with_position"]) for item in result] == [(9, 9), (50, 50), (299, 299), (520, 520)]

    def texts(item: dict[str, Any]) -> tuple[list[str], ...]:
        return tuple([line["text"] for line in item[what]] for what in ("added", "removed", "locked", "unlocked"))

    assert texts(result[0]) == ([], [], [], ["mark 9"])
    assert texts(result[1]) == (["two"], [], [], [])
    assert texts(result[2]) == (["another mark"], ["mark 299"], [], [])
    assert texts(result[3]) == ([], [], ["mark 520"], [])
    backwards = differences(service, large_set_id, created)
    assert texts(backwards[2]) == (["mark 299"], ["another mark"], [], [])
    assert differences(service, created, created) == []
    response = service.http.get(f"/v1/attribute-sets/{created}/compare", params={"with": "ats_none"})
    assert (response.status_code, response.json()["code"]) == (404, "attribute_set_not_found")
    assert service.http.get(f"/v1/attribute-sets/{created}/compare").json()["errors"][0]["parameter"] == "with"


def test_other_differences(service: Service) -> None:
    item = {"kind": "phrase", "text": "one", "origin": "llm", "call": "ab"}
    two = {"kind": "phrase", "text": "two"}

    def created(vocabulary_id: str | None, *lines: dict[str, Any], flags: tuple[str, ...] = ()) -> dict[str, Any]:
        entries = [{"label": "crane", "lines": list(lines), "flags": list(flags)}, {"label": "ibis", "lines": [two]}]
        document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
        where = {"vocabulary_id": vocabulary_id} if vocabulary_id else {}
        return service.post(IMPORT, {"format": "json", "document": document, **where})

    first = created(None, item, two)
    for other, what in (
        (created(first["vocabulary_id"], two, item), ["order"]),
        (created(first["vocabulary_id"], {**item, "call": "cd"}, two), ["provenance"]),
        (created(first["vocabulary_id"], item, two, flags=("long_phrase",)), ["flags"]),
    ):
        (result,) = differences(service, other["id"], first["id"])
        assert (result["label"], result["added"], result["removed"], result["other"]) == ("crane", [], [], what)


@pytest.mark.slow
def test_sets_of_two_vocabularies_are_matched_by_label_and_sense(service: Service, large_set_id: str) -> None:
    entries = service.http.get(f"/v1/attribute-sets/{large_set_id}/export").json()["entries"]
    entries.reverse()
    entries[5]["lines"] = [{"kind": "phrase", "text": "new"}]
    gone, changed = entries.pop(100), entries[5]
    entries.append({"label": "a new bird", "lines": [{"kind": "phrase", "text": "new"}]})
    entries.append({"label": "bird 10", "sense": "a plane"})  # with another sense it is another label
    document = {"format": "limbeck.attributes", "version": 2, "entries": entries}
    other = service.post(IMPORT, {"format": "json", "document": document, "name": "another"})["id"]
    for limit in (1, 20):
        result = differences(service, other, large_set_id, limit=limit)
        assert [(item["label"], item["sense"], item["with_position"]) for item in result] == [
            (changed["label"], None, NUM_LABELS - 6),
            ("a new bird", None, None),
            ("bird 10", "a plane", None),
            (gone["label"], gone["sense"], NUM_LABELS - 101),
        ]
    assert result[-1]["position"] is None
    assert [line["text"] for line in result[-1]["removed"]] == [line["text"] for line in gone["lines"]]
    assert [line["text"] for line in result[0]["removed"]] == [f"mark {NUM_LABELS - 6}"]
