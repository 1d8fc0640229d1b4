"""Edits: a draft under If-Match, all or nothing, sealed into a set that shares what was not edited."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, func, select

from api.readers.draft_changes import MAX_OPERATIONS
from attributes.types import Line
from store import vocabularies
from store.models import AttributeDraftEntry, AttributeEntry, AttributePage, AttributeSet, AttributeSetPage
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE
from tests.api.conftest import Service

IMPORT = "/v1/attribute-sets/import"
LLM = {"origin": "llm", "strategy": "describe@1", "call": "ab12"}
TALL: dict[str, Any] = {"kind": "sentence", "text": "A tall grey bird.", **LLM}
NECK: dict[str, Any] = {"kind": "phrase", "text": "a long neck", "part": "neck", "value": "long", **LLM}
WINGS: dict[str, Any] = {"kind": "phrase", "text": "black wings", **LLM, "locked": True}


def id_of(**line: Any) -> str:
    return Line(**line).id


@pytest.fixture
def set_id(service: Service) -> str:
    """Of four labels: a crane (bird) with three lines of an LLM, a crane (machine), a heron without any, an ibis."""
    entries = [
        {"label": "crane", "sense": "bird", "lines": [TALL, NECK, WINGS]},
        {"label": "crane", "sense": "machine", "lines": [{"kind": "phrase", "text": "a boom"}]},
        {"label": "heron"},
        {"label": "ibis", "lines": [{"kind": "phrase", "text": "a bent bill"}], "flags": ["too_few_phrases"]},
    ]
    document = {"format": "limbeck.attributes", "version": 2, "strategy": "describe@1", "entries": entries}
    id: str = service.post(IMPORT, {"format": "json", "document": document})["id"]
    return id


def patch(
    service: Service, id: str, *operations: dict[str, Any], version: int | str | None = 0, status: int = 200
) -> dict[str, Any]:
    headers = {} if version is None else {"If-Match": f'"{version}"' if isinstance(version, int) else version}
    answer = service.http.patch(
        f"/v1/attribute-sets/{id}/draft", json={"operations": list(operations)}, headers=headers
    )
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    if status == 200:
        assert answer.headers["ETag"] == f'"{told["version"]}"'
    return told


def seal(service: Service, id: str, **headers: str) -> dict[str, Any]:
    return service.post(f"/v1/attribute-sets/{id}/draft/seal", None, **headers)


def lines_of(service: Service, id: str, position: int = 0, **params: Any) -> list[dict[str, Any]]:
    found = service.get(f"/v1/attribute-sets/{id}/labels", limit=1000, **params)["data"]
    lines: list[dict[str, Any]] = found[position]["lines"]
    return lines


def test_a_draft_begins_at_nothing_and_says_so(service: Service, set_id: str) -> None:
    answer = service.http.get(f"/v1/attribute-sets/{set_id}/draft")
    assert answer.headers["ETag"] == '"0"'
    assert answer.json() == {
        "object": "attribute_draft",
        "attribute_set_id": set_id,
        "version": 0,
        "num_edited": 0,
        "updated_at": None,
    }
    for method in ("GET", "DELETE"):
        assert service.http.request(method, "/v1/attribute-sets/ats_none/draft").status_code == 404
    assert service.http.post("/v1/attribute-sets/ats_none/draft/seal").status_code == 404


def test_every_operation_and_what_becomes_of_origin_lock_and_call(service: Service, set_id: str) -> None:
    neck, wings = id_of(**NECK), id_of(**WINGS)
    told = patch(
        service,
        set_id,
        {"op": "add", "label": "CRANE", "sense": "Bird", "kind": "phrase", "text": " a red crown ", "part": "crown"},
        {"op": "edit", "position": 0, "line": neck, "text": "a very long neck", "value": "very long"},
        {"op": "unlock", "position": 0, "line": wings},
        {"op": "delete", "position": 0, "line": id_of(**TALL)},
        {"op": "add", "position": 0, "kind": "sentence", "text": "A crane.", "before": wings, "locked": True},
        {
            "op": "add",
            "position": 2,
            "kind": "contrast",
            "text": "no red crown",
            "about": "Crane (BIRD)",
            "part": "crown",
            "value": "black",
            "other_value": "red",
        },
        {"op": "lock", "label": "crane", "sense": "machine"},
    )
    assert (told["version"], told["num_edited"]) == (1, 3)
    crane, heron, machine = told["changed"]
    assert [(line["text"], line["origin"], line["locked"], line["call"]) for line in crane["lines"]] == [
        ("a very long neck", "human", False, "ab12"),  # reworded by a person, and still known to be of that call
        ("A crane.", "human", True, ""),
        ("black wings", "llm", False, "ab12"),
        ("a red crown", "human", False, ""),
    ]
    assert (crane["lines"][0]["part"], crane["lines"][0]["value"]) == ("neck", "very long")
    assert heron["lines"][0]["about"] == "crane (bird)"
    assert [(line["origin"], line["locked"]) for line in machine["lines"]] == [("import", True)]

    assert [one["position"] for one in service.get(f"/v1/attribute-sets/{set_id}/draft/labels")["data"]] == [0, 1, 2]
    assert [line["text"] for line in lines_of(service, set_id)] == ["A tall grey bird.", "a long neck", "black wings"]
    drafted = service.get(f"/v1/attribute-sets/{set_id}/labels", draft=True)["data"]
    assert [one["edited"] for one in drafted] == [True, True, True, False]
    assert drafted[0]["lines"] == crane["lines"]


def test_replace_keeps_what_was_there_and_revert_forgets(service: Service, set_id: str) -> None:
    given = [{"kind": "phrase", "text": "black wings"}, {"id": id_of(**NECK), "text": "a neck"}, {"text": "a bill"}]
    told = patch(service, set_id, {"op": "replace", "position": 0, "lines": given})
    assert [(x["text"], x["origin"], x["locked"], x["call"], x["kind"]) for x in told["changed"][0]["lines"]] == [
        ("black wings", "llm", True, "ab12", "phrase"),
        ("a neck", "human", False, "ab12", "phrase"),
        ("a bill", "human", False, "", "phrase"),
    ]
    told = patch(service, set_id, {"op": "revert", "position": 0}, version=1)
    assert (told["version"], told["num_edited"]) == (2, 0)
    assert [line["text"] for line in told["changed"][0]["lines"]] == ["A tall grey bird.", "a long neck", "black wings"]


def test_a_change_and_its_undoing_leave_no_edit(service: Service, set_id: str) -> None:
    patch(service, set_id, {"op": "lock", "position": 1}, {"op": "unlock", "position": 1})
    assert service.get(f"/v1/attribute-sets/{set_id}/draft")["num_edited"] == 0
    answer = service.http.post(f"/v1/attribute-sets/{set_id}/draft/seal")
    assert (answer.status_code, answer.json()["code"]) == (409, "draft_empty")


ADD: dict[str, Any] = {"op": "add", "position": 0, "kind": "phrase", "text": "a red crown"}
EDIT: dict[str, Any] = {"op": "edit", "position": 0, "line": id_of(**NECK)}
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({**ADD, "position": 4}, "/position", "positions run from 0 to 3"),
    ({**ADD, "position": -1}, "/position", "greater than or equal"),
    ({**ADD, "position": None}, "", "name the label either by position"),
    ({**ADD, "label": "crane"}, "", "name the label either by position"),
    ({"op": "add", "label": "crane", "kind": "phrase", "text": "x"}, "/label", "give the sense of a label"),
    ({"op": "add", "label": "stork", "kind": "phrase", "text": "x"}, "/label", 'no label "stork"'),
    ({**ADD, "text": " "}, "/text", "is blank"),
    ({**ADD, "text": "."}, "/text", "no letter or digit"),
    ({**ADD, "text": "x" * 5_001}, "/text", "at most 5000"),
    ({**ADD, "part": "x" * 501}, "/part", "at most 500"),
    ({**ADD, "text": "a\x07b"}, "/text", "control character (U+0007)"),
    ({**ADD, "text": "a\x00b"}, "/text", "NUL"),
    ({**ADD, "text": "a long neck", "part": "neck", "value": "long"}, "/text", "says the same as line"),
    ({**ADD, "kind": "verse"}, "/kind", "'sentence'"),
    ({**ADD, "kind": "sentence", "part": "crown"}, "/part", "kind sentence has no part"),
    ({**ADD, "about": "heron"}, "/about", "kind phrase has no about"),
    ({**ADD, "kind": "contrast"}, "/about", "must name the label"),
    ({**ADD, "kind": "contrast", "about": "stork"}, "/about", "names no other label"),
    ({**ADD, "kind": "contrast", "about": "crane (bird)"}, "/about", "names no other label"),
    ({**ADD, "kind": "contrast", "about": "crane"}, "/about", "a sense in brackets"),
    ({**ADD, "before": "0123456789ab"}, "/before", "no line '0123456789ab'"),
    ({**EDIT, "line": "0123456789ab", "text": "x"}, "/line", "has a new id"),
    ({**EDIT, "text": ""}, "/text", "is blank"),
    ({**EDIT, "texts": "x"}, "/texts", "not permitted"),
    ({**EDIT, "text": "black wings", "part": "", "value": ""}, "/text", "says the same as line"),
    ({"op": "delete", "position": 2, "line": id_of(**NECK)}, "/line", "has no line"),
    ({"op": "lock", "position": 0, "line": "x"}, "/line", "has no line"),
    ({"op": "frobnicate", "position": 0}, "", "frobnicate"),
    ({"op": "replace", "position": 0, "lines": [{"text": "a"}, {"text": "a"}]}, "/lines/1/text", "says the same"),
    ({"op": "replace", "position": 0, "lines": [{"kind": "phrase"}]}, "/lines/0/text", "is missing"),
    ({"op": "replace", "position": 0, "lines": [{"id": "x", "text": "a"}]}, "/lines/0/id", "has no line"),
]  # fmt: skip


def test_a_bad_operation_is_pointed_at_and_nothing_is_changed(
    service: Service, set_id: str, subtests: pytest.Subtests
) -> None:
    for operation, pointer, says in BAD:
        with subtests.test(operation=str(operation)[:90]):
            problem = patch(service, set_id, {**ADD, "text": "fine"}, operation, status=422)
            assert problem["errors"][0]["pointer"] == f"/operations/1{pointer}", problem
            assert says in problem["errors"][0]["detail"], problem
    draft = service.get(f"/v1/attribute-sets/{set_id}/draft")
    assert (draft["version"], draft["num_edited"]) == (0, 0)


def test_all_culprits_are_named_at_once(service: Service, set_id: str) -> None:
    told = patch(service, set_id, {**ADD, "text": "."}, ADD, ADD, {**ADD, "position": 9}, status=422)
    assert sorted(error["pointer"] for error in told["errors"]) == [
        "/operations/0/text",
        "/operations/2/text",
        "/operations/3/position",
    ]
    told = patch(service, set_id, *[ADD] * (MAX_OPERATIONS + 1), status=422)
    assert told["errors"][0]["pointer"] == "/operations"
    assert patch(service, set_id, status=422)["errors"][0]["pointer"] == "/operations"


def test_if_match_is_required_and_a_stale_one_is_told_so(service: Service, set_id: str) -> None:
    assert patch(service, set_id, ADD, version=None, status=428)["code"] == "if_match_missing"
    for wrong in (1, "0", 'W/"0"', '"x"'):
        assert patch(service, set_id, ADD, version=wrong, status=412)["code"] == "draft_stale"
    patch(service, set_id, ADD)
    answer = service.http.patch(
        f"/v1/attribute-sets/{set_id}/draft", json={"operations": [ADD]}, headers={"If-Match": '"0"'}
    )
    assert (answer.status_code, answer.headers["ETag"]) == (412, '"1"')
    assert "at version 1, not 0" in answer.json()["detail"]
    patch(service, set_id, {**ADD, "text": "whatever it is at"}, version="*")
    for method, path in (("DELETE", "draft"), ("POST", "draft/seal")):
        answer = service.http.request(method, f"/v1/attribute-sets/{set_id}/{path}", headers={"If-Match": '"1"'})
        assert (answer.status_code, answer.json()["code"]) == (412, "draft_stale")
    assert service.get(f"/v1/attribute-sets/{set_id}/draft")["num_edited"] == 1


def test_a_dropped_draft_is_empty_and_does_not_begin_again_at_an_old_version(service: Service, set_id: str) -> None:
    patch(service, set_id, ADD)
    answer = service.http.delete(f"/v1/attribute-sets/{set_id}/draft", headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["num_edited"], answer.headers["ETag"]) == (200, 0, '"2"')
    patch(service, set_id, ADD, version=1, status=412)
    patch(service, set_id, ADD, version=2)


def test_two_who_edit_at_once_lose_nothing(service: Service, set_id: str) -> None:
    people = 8
    gate = threading.Barrier(people)

    def one(number: int) -> int:
        gate.wait(timeout=20)
        body = {"operations": [{**ADD, "text": f"a mark of person {number}"}]}
        return service.http.patch(
            f"/v1/attribute-sets/{set_id}/draft", json=body, headers={"If-Match": '"0"'}
        ).status_code

    with ThreadPoolExecutor(people) as pool:
        statuses = list(pool.map(one, range(people)))
    assert sorted(statuses) == [200] + [412] * (people - 1)
    for number, status in enumerate(statuses):
        if status == 412:
            version = service.get(f"/v1/attribute-sets/{set_id}/draft")["version"]
            patch(service, set_id, {**ADD, "text": f"a mark of person {number}"}, version=version)
    texts = {line["text"] for line in lines_of(service, set_id, draft=True)}
    assert texts >= {f"a mark of person {number}" for number in range(people)}


def test_a_change_sent_again_with_its_key_is_made_once(service: Service, set_id: str) -> None:
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


def test_sealing_makes_a_child_that_says_what_the_draft_said(service: Service, set_id: str) -> None:
    patch(
        service,
        set_id,
        {"op": "edit", "position": 0, "line": id_of(**NECK), "text": "a bent neck"},
        {"op": "replace", "position": 1, "lines": []},
        {"op": "add", "position": 2, "kind": "phrase", "text": "grey"},
        {"op": "add", "position": 3, "kind": "phrase", "text": "A  bent BILL"},
    )
    drafted = service.get(f"/v1/attribute-sets/{set_id}/labels", draft=True)["data"]
    made = seal(service, set_id)
    parent = service.get(f"/v1/attribute-sets/{set_id}")
    assert (made["parent_id"], made["vocabulary_id"]) == (set_id, parent["vocabulary_id"])
    assert (parent["num_described"], made["num_described"]) == (3, 3)
    assert made["source"] == {
        "strategy": "describe@1",
        "edit_of": set_id,
        "draft_version": 1,
        "num_edited": 4,
        "edited_by": "local",
    }
    sealed = service.get(f"/v1/attribute-sets/{made['id']}/labels")["data"]
    assert sealed == [{**one, "edited": False} for one in drafted]
    # Flags are computed anew: the ibis has enough phrases for nobody's limits now, but two that say the same.
    assert [one["flags"] for one in sealed] == [["too_few_phrases"], [], [], ["duplicate_phrase"]]
    assert made["num_flagged"] == 2
    draft = service.get(f"/v1/attribute-sets/{set_id}/draft")
    assert (draft["version"], draft["num_edited"]) == (2, 0)
    assert [one["id"] for one in service.get("/v1/attribute-sets", parent_id=set_id)["data"]] == [made["id"]]
    # The same content that comes in by another way has the same digest.
    document = service.http.get(f"/v1/attribute-sets/{made['id']}/export").json()
    again = service.post(IMPORT, {"format": "json", "vocabulary_id": made["vocabulary_id"], "document": document})
    assert (again["digest"], again["num_flagged"]) == (made["digest"], made["num_flagged"])


def _big_set(service: Service, num_labels: int) -> str:
    """A set of so many labels, written page by page as an enrichment does."""
    labels = [vocabularies.NewLabel(f"species {n}") for n in range(num_labels)]
    with service.db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=labels)
        pages = attribute_sets.put_pages(
            tx,
            [
                {
                    "label": one.name,
                    "sense": None,
                    "lines": [{"kind": "phrase", "text": one.name, "origin": "llm"}],
                    "flags": [],
                }
                for one in labels
            ],
        )
        return attribute_sets.create(tx, vocabulary_id=vocabulary.id, pages=pages, source={}).id


def test_one_edit_costs_one_entry_one_page_and_statements_that_do_not_grow(service: Service) -> None:
    counts: list[int] = []
    for num_labels in (PAGE_SIZE, 8 * PAGE_SIZE):
        id = _big_set(service, num_labels)
        patch(service, id, {"op": "add", "position": num_labels - 1, "kind": "phrase", "text": "a crown"})
        tables = (AttributeEntry, AttributePage, AttributeSetPage, AttributeDraftEntry)
        with service.db.read() as tx:
            before = [tx.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
        statements: list[str] = []

        def note(_c: Any, _u: Any, statement: str, *_: Any, told: list[str] = statements) -> None:
            told.append(statement)

        event.listen(service.db.writer, "before_cursor_execute", note)
        made = seal(service, id)
        event.remove(service.db.writer, "before_cursor_execute", note)
        with service.db.read() as tx:
            after = [tx.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
        assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, num_labels // PAGE_SIZE, -1]
        assert lines_of(service, made["id"], -1, after=num_labels - 3)[-1]["text"] == "a crown"
        counts.append(len(statements))
    assert counts[0] == counts[1]


def test_edits_on_many_pages_are_sealed_at_once(service: Service) -> None:
    id = _big_set(service, 3 * PAGE_SIZE)
    positions = [0, PAGE_SIZE - 1, PAGE_SIZE, 3 * PAGE_SIZE - 1]
    patch(service, id, *({"op": "replace", "position": at, "lines": []} for at in positions))
    made = seal(service, id)
    assert made["num_described"] == 3 * PAGE_SIZE - 4
    bare = service.get(f"/v1/attribute-sets/{made['id']}/labels", undescribed=True)["data"]
    assert [one["position"] for one in bare] == positions


def test_the_reference_tells_of_if_match(service: Service) -> None:
    paths = service.get("/openapi.json")["paths"]
    path = "/v1/attribute-sets/{id}/draft"
    assert {"412", "428", "409", "422"} <= set(paths[path]["patch"]["responses"])
    assert "412" in paths[path]["delete"]["responses"]
    assert {"412", "409"} <= set(paths[f"{path}/seal"]["post"]["responses"])
    assert "412" not in paths[path]["get"]["responses"]
