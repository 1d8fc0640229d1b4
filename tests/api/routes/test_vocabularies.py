"""Vocabularies: create, get, list, and page their labels."""

import json
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import vocabularies
from store.models import AttributeSet, Label, Vocabulary
from store.vocabularies import NewLabel
from tests.api.conftest import Service


@pytest.mark.slow
def test_create_from_json_keeps_the_order(service: Service) -> None:
    labels = ["Laysan albatross", {"name": "crane", "sense": "the bird"}, {"name": "Crane", "sense": "the machine"}]
    response = service.http.post("/v1/vocabularies", json={"name": " birds ", "domain": "birds", "labels": labels})
    assert response.status_code == 201
    created = response.json()
    assert response.headers["location"] == f"/v1/vocabularies/{created['id']}"
    report = {"reused": False, "read_as": None, "notes": [], "warnings": []}
    assert created == service.get(response.headers["location"]) | report
    assert (created["object"], created["name"], created["num_labels"]) == ("vocabulary", "birds", 3)
    assert created["created_at"].endswith("Z")
    page = service.get(f"/v1/vocabularies/{created['id']}/labels")
    assert [(item["position"], item["name"], item["sense"]) for item in page["data"]] == [
        (0, "Laysan albatross", None),
        (1, "crane", "the bird"),
        (2, "Crane", "the machine"),
    ]
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("0", "2", False)


def test_two_spellings_of_a_label_are_warned_of_as_in_a_label_file(service: Service) -> None:
    names = ["Great_Tit", "great tit", "crane"]
    posted = service.post("/v1/vocabularies", {"name": "birds", "labels": names})
    file = {"content": "\n".join(names), "headers": {"content-type": "text/plain"}}
    assert posted["warnings"] == service.http.post("/v1/vocabularies?name=birds", **file).json()["warnings"]
    (warning,) = posted["warnings"]
    assert '1 name is written in several ways, each of which is a label of its own: "Great_Tit = great tit"' in warning
    with_senses = [{"name": "Great_Tit", "sense": "bird"}, {"name": "great tit", "sense": "book"}]
    for labels in (["crane", "heron"], with_senses):
        preview = service.post("/v1/vocabularies?dry_run=true", {"name": "birds", "labels": labels}, status=200)
        assert preview["warnings"] == []


def test_an_equal_vocabulary_is_reused(service: Service) -> None:
    labels: list[Any] = [{"name": "crane", "ids": {"wnid": "n02012849"}}, "heron"]
    body = {"name": "birds", "domain": "birds", "labels": labels}
    first = service.http.post("/v1/vocabularies", json=body)
    again = service.http.post("/v1/vocabularies", json=body | {"name": "other"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json() | {"reused": True}
    assert again.headers["location"] == first.headers["location"]
    others = [body | {"domain": ""}, body | {"labels": labels[::-1]}, body | {"labels": ["crane", "heron"]}]
    ids = {service.post("/v1/vocabularies", other, status=201)["id"] for other in others}
    assert len(ids | {first.json()["id"]}) == 4


def test_an_equal_vocabulary_is_stored_once_by_simultaneous_requests(service: Service) -> None:
    labels = [NewLabel(f"label {n}") for n in range(20)]

    def put(number: int) -> tuple[str, bool]:
        with service.db.write() as tx:
            row, is_new = vocabularies.put(tx, name=f"v{number}", domain="", labels=labels)
            return row.id, is_new

    with ThreadPoolExecutor(4) as pool:
        stored = list(pool.map(put, range(8)))
    assert len({id for id, _ in stored}) == 1
    assert sum(is_new for _, is_new in stored) == 1
    assert len(service.get(f"/v1/vocabularies/{stored[0][0]}/labels")["data"]) == 20


def test_pages_have_no_gap_and_no_overlap(service: Service) -> None:
    names = [f"label {n:03}" for n in range(57)]
    id = service.vocabulary(*names)
    seen: list[str] = []
    after: dict[str, Any] = {}
    while True:
        page = service.get(f"/v1/vocabularies/{id}/labels", limit=10, **after)
        seen += [item["name"] for item in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen == names
    beyond = service.get(f"/v1/vocabularies/{id}/labels", after=56)
    assert (beyond["data"], beyond["has_more"], beyond["last_id"]) == ([], False, None)


def test_lists_start_with_the_newest(service: Service) -> None:
    ids = [service.vocabulary("crane", f"heron {n}") for n in range(5)]
    first = service.get("/v1/vocabularies", limit=2)
    assert [item["id"] for item in first["data"]] == ids[:2:-1]
    assert (first["object"], first["has_more"], first["last_id"]) == ("list", True, ids[3])
    rest = service.get("/v1/vocabularies", limit=100, after=first["last_id"])
    assert [item["id"] for item in rest["data"]] == ids[2::-1]
    assert rest["has_more"] is False


BAD: list[tuple[Any, str, str]] = [
    ({"name": "b", "labels": []}, "vocabulary_empty", "/labels"),
    ({"name": "b", "labels": ["crane", "  "]}, "label_invalid", "/labels/1/name"),
    ({"name": "b", "labels": ["x" * 201]}, "label_invalid", "/labels/0/name"),
    ({"name": "b", "labels": [{"name": "x", "sense": "y" * 501}]}, "label_invalid", "/labels/0/sense"),
    ({"name": "b", "labels": ["crane", "heron", "Crane"]}, "label_invalid", "/labels/2/name"),
    ({"name": "b", "labels": ["crane", {"name": "crane", "sense": "bird"}]}, "label_invalid", "/labels/0/sense"),
    ({"name": "b", "labels": ["cra\u0007ne"]}, "label_invalid", "/labels/0/name"),
    ({"name": "b", "labels": ["cra\u0000ne"]}, "label_invalid", "/labels/0/name"),
    ({"name": "b", "labels": ["x", 7]}, "invalid_request", "/labels/1"),
    ({"name": "b", "labels": [{"name": "x", "colour": "red"}]}, "invalid_request", "/labels/0/colour"),
    ({"name": "b", "labels": [{"sense": "x"}]}, "invalid_request", "/labels/0/name"),
    ({"name": "b", "labels": "crane"}, "invalid_request", "/labels"),
    ({"name": "b"}, "invalid_request", "/labels"),
    ({"labels": ["crane"]}, "invalid_request", "/name"),
    ({"name": " ", "labels": ["crane"]}, "invalid_request", "/name"),
    ({"name": "b\u0000", "labels": ["crane"]}, "invalid_request", "/name"),
    ({"name": 3, "labels": ["crane"]}, "invalid_request", "/name"),
    ({"name": "b", "labels": ["crane"], "domian": "birds"}, "invalid_request", "/domian"),
    (["crane"], "invalid_request", ""),
]


def test_invalid_label_lists_are_rejected_with_a_pointer(service: Service, subtests: pytest.Subtests) -> None:
    for body, code, pointer in BAD:
        with subtests.test(body=str(body)[:80]):
            problem = service.rejection("/v1/vocabularies", body)
            assert problem["code"] == code, problem
            assert pointer in [item["pointer"] for item in problem["errors"]], problem
    with service.db.read() as tx:
        assert tx.query(Vocabulary).count() == tx.query(Label).count() == 0


def test_labels_stored_under_an_older_rule_stay_readable(service: Service) -> None:
    id = service.vocabulary("crane", "heron")
    assert service.rejection("/v1/vocabularies", {"name": "b", "labels": ["heron \ue000"]})["detail"] == (
        'has a private-use character (U+E000) in "heron <U+E000>"; remove it, or use a standard character'
    )
    with service.db.write() as tx:
        label = tx.get_one(Label, (id, 1))
        label.name = label.folded = "heron \ue000"
    assert service.get(f"/v1/vocabularies/{id}/labels")["data"][1]["name"] == "heron \ue000"
    set_id = service.attribute_set(service.vocabulary("crane"))
    with service.db.write() as tx:
        label = tx.get_one(Label, (tx.get_one(AttributeSet, set_id).vocabulary_id, 0))
        label.name = label.folded = "crane\ue000"
    (found,) = service.get(f"/v1/attribute-sets/{set_id}/labels", label="crane\ue000")["data"]
    assert found["label"] == "crane\ue000"
    exported = service.http.get(f"/v1/attribute-sets/{set_id}/export?format=json")
    assert "crane" in exported.text
    operation = {"op": "add", "label": "Crane\ue000", "kind": "phrase", "text": "a long neck"}
    change = service.http.patch(
        f"/v1/attribute-sets/{set_id}/draft", json={"operations": [operation]}, headers={"If-Match": "*"}
    )
    assert change.status_code == 200, change.text


@given(labels=st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_accepted_labels_are_returned_unchanged(service: Service, labels: list[str]) -> None:
    response = service.http.post(
        "/v1/vocabularies",
        content=json.dumps({"name": "any", "labels": labels}),
        headers={"Content-Type": "application/json"},
    )
    assert response.status_code in (201, 422)
    if response.status_code == 422:
        assert response.json()["errors"]
        return
    page = service.get(f"{response.headers['location']}/labels")["data"]
    assert [item["name"] for item in page] == [unicodedata.normalize("NFC", label).strip() for label in labels]
