"""Drafts: If-Match, concurrent edits, repeated requests, and sealing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, func, select

from store import vocabularies
from store.models import AttributeDraftEntry, AttributeEntry, AttributePage, AttributeSet, AttributeSetPage
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE
from tests.api.conftest import Service
from tests.api.drafting import ADD, IMPORT, NECK, id_of, lines_of, patch, seal


def test_an_unchanged_draft_has_version_0(service: Service, set_id: str) -> None:
    response = service.http.get(f"/v1/attribute-sets/{set_id}/draft")
    assert response.headers["ETag"] == '"0"'
    assert response.json() == {
        "object": "attribute_draft",
        "attribute_set_id": set_id,
        "version": 0,
        "num_edited": 0,
        "updated_at": None,
    }
    for method in ("GET", "DELETE"):
        assert service.http.request(method, "/v1/attribute-sets/ats_none/draft").status_code == 404
    assert service.http.post("/v1/attribute-sets/ats_none/draft/seal").status_code == 404


def test_an_undone_change_is_no_edit(service: Service, set_id: str) -> None:
    patch(service, set_id, {"op": "lock", "position": 1}, {"op": "unlock", "position": 1})
    assert service.get(f"/v1/attribute-sets/{set_id}/draft")["num_edited"] == 0
    response = service.http.post(f"/v1/attribute-sets/{set_id}/draft/seal")
    assert (response.status_code, response.json()["code"]) == (409, "draft_empty")


def test_if_match_is_required_and_must_be_current(service: Service, set_id: str) -> None:
    assert patch(service, set_id, ADD, version=None, status=428)["code"] == "if_match_missing"
    for wrong in (1, "0", 'W/"0"', '"x"'):
        assert patch(service, set_id, ADD, version=wrong, status=412)["code"] == "draft_stale"
    patch(service, set_id, ADD)
    response = service.http.patch(
        f"/v1/attribute-sets/{set_id}/draft", json={"operations": [ADD]}, headers={"If-Match": '"0"'}
    )
    assert (response.status_code, response.headers["ETag"]) == (412, '"1"')
    assert "at version 1, not 0" in response.json()["detail"]
    patch(service, set_id, {**ADD, "text": "with any version"}, version="*")
    for method, path in (("DELETE", "draft"), ("POST", "draft/seal")):
        response = service.http.request(method, f"/v1/attribute-sets/{set_id}/{path}", headers={"If-Match": '"1"'})
        assert (response.status_code, response.json()["code"]) == (412, "draft_stale")
    assert service.get(f"/v1/attribute-sets/{set_id}/draft")["num_edited"] == 1


def test_a_dropped_draft_is_empty_and_keeps_counting_versions(service: Service, set_id: str) -> None:
    patch(service, set_id, ADD)
    response = service.http.delete(f"/v1/attribute-sets/{set_id}/draft", headers={"If-Match": '"1"'})
    assert (response.status_code, response.json()["num_edited"], response.headers["ETag"]) == (200, 0, '"2"')
    patch(service, set_id, ADD, version=1, status=412)
    patch(service, set_id, ADD, version=2)


@pytest.mark.slow
def test_concurrent_edits_lose_nothing(service: Service, set_id: str) -> None:
    people = 8
    gate = threading.Barrier(people)

    def item(number: int) -> int:
        gate.wait(timeout=20)
        body = {"operations": [{**ADD, "text": f"a mark of person {number}"}]}
        return service.http.patch(
            f"/v1/attribute-sets/{set_id}/draft", json=body, headers={"If-Match": '"0"'}
        ).status_code

    with ThreadPoolExecutor(people) as pool:
        statuses = list(pool.map(item, range(people)))
    assert sorted(statuses) == [200] + [412] * (people - 1)
    for number, status in enumerate(statuses):
        if status == 412:
            version = service.get(f"/v1/attribute-sets/{set_id}/draft")["version"]
            patch(service, set_id, {**ADD, "text": f"a mark of person {number}"}, version=version)
    texts = {line["text"] for line in lines_of(service, set_id, draft=True)}
    assert texts >= {f"a mark of person {number}" for number in range(people)}


def test_a_repeated_change_with_one_key_is_applied_once(service: Service, set_id: str) -> None:
    path = f"/v1/attribute-sets/{set_id}/draft"
    for method, where, body in (
        ("PATCH", path, {"operations": [ADD]}),
        ("POST", f"{path}/seal", None),
        ("DELETE", path, None),
    ):
        version = service.get(path)["version"]
        headers = {"If-Match": f'"{version}"', "Idempotency-Key": f"k-{method}"}
        first, again = (service.http.request(method, where, json=body, headers=headers) for _ in range(2))
        assert first.status_code in (200, 201), first.text
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers.get("ETag") == first.headers.get("ETag")
    with service.db.read() as tx:
        assert tx.scalar(select(func.count()).select_from(AttributeSet)) == 2


def test_sealing_creates_a_child_with_the_lines_of_the_draft(service: Service, set_id: str) -> None:
    patch(
        service,
        set_id,
        {"op": "edit", "position": 0, "line": id_of(**NECK), "text": "a bent neck"},
        {"op": "replace", "position": 1, "lines": []},
        {"op": "add", "position": 2, "kind": "phrase", "text": "grey"},
        {"op": "add", "position": 3, "kind": "phrase", "text": "A  bent BILL"},
    )
    drafted = service.get(f"/v1/attribute-sets/{set_id}/labels", draft=True)["data"]
    created = seal(service, set_id)
    parent = service.get(f"/v1/attribute-sets/{set_id}")
    assert (created["parent_id"], created["vocabulary_id"]) == (set_id, parent["vocabulary_id"])
    assert (parent["num_described"], created["num_described"]) == (3, 3)
    assert created["source"] == {
        "strategy": "describe@1",
        "edit_of": set_id,
        "draft_version": 1,
        "num_edited": 4,
        "edited_by": "local",
    }
    sealed = service.get(f"/v1/attribute-sets/{created['id']}/labels")["data"]
    assert sealed == [{**item, "edited": False} for item in drafted]
    # Flags are recomputed: the ibis now has two equal phrases. No limit on the number of phrases is known here.
    assert [item["flags"] for item in sealed] == [["too_few_phrases"], [], [], ["duplicate_phrase"]]
    assert created["num_flagged"] == 2
    draft = service.get(f"/v1/attribute-sets/{set_id}/draft")
    assert (draft["version"], draft["num_edited"]) == (2, 0)
    assert [item["id"] for item in service.get("/v1/attribute-sets", parent_id=set_id)["data"]] == [created["id"]]
    # The same content has the same digest if it is imported.
    document = service.http.get(f"/v1/attribute-sets/{created['id']}/export").json()
    again = service.post(IMPORT, {"format": "json", "vocabulary_id": created["vocabulary_id"], "document": document})
    assert (again["digest"], again["num_flagged"]) == (created["digest"], created["num_flagged"])


def create_set(service: Service, num_labels: int) -> str:
    """Store a set of `num_labels` labels, page by page as an enrich job does."""
    labels = [vocabularies.NewLabel(f"species {n}") for n in range(num_labels)]
    with service.db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=labels)
        pages = attribute_sets.put_pages(
            tx,
            [
                {
                    "label": item.name,
                    "sense": None,
                    "lines": [{"kind": "phrase", "text": item.name, "origin": "llm"}],
                    "flags": [],
                }
                for item in labels
            ],
        )
        return attribute_sets.create(tx, vocabulary_id=vocabulary.id, pages=pages, source={}).id


def test_sealing_one_edit_writes_one_entry_and_one_page_with_constant_statements(service: Service) -> None:
    counts: list[int] = []
    for num_labels in (PAGE_SIZE, 8 * PAGE_SIZE):
        id = create_set(service, num_labels)
        patch(service, id, {"op": "add", "position": num_labels - 1, "kind": "phrase", "text": "a crown"})
        tables = (AttributeEntry, AttributePage, AttributeSetPage, AttributeDraftEntry)
        with service.db.read() as tx:
            before = [tx.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
        statements: list[str] = []

        def note(_c: Any, _u: Any, statement: str, *_: Any, recorded: list[str] = statements) -> None:
            recorded.append(statement)

        event.listen(service.db.writer, "before_cursor_execute", note)
        created = seal(service, id)
        event.remove(service.db.writer, "before_cursor_execute", note)
        with service.db.read() as tx:
            after = [tx.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
        assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, num_labels // PAGE_SIZE, -1]
        assert lines_of(service, created["id"], -1, after=num_labels - 3)[-1]["text"] == "a crown"
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_sealing_edits_on_many_pages(service: Service) -> None:
    id = create_set(service, 3 * PAGE_SIZE)
    positions = [0, PAGE_SIZE - 1, PAGE_SIZE, 3 * PAGE_SIZE - 1]
    patch(service, id, *({"op": "replace", "position": at, "lines": []} for at in positions))
    created = seal(service, id)
    assert created["num_described"] == 3 * PAGE_SIZE - 4
    bare = service.get(f"/v1/attribute-sets/{created['id']}/labels", undescribed=True)["data"]
    assert [item["position"] for item in bare] == positions
