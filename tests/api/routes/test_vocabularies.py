"""Vocabularies through HTTP: three forms in, pages out, and every bad list refused with a pointer."""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.models import Label, Vocabulary
from tests.api.conftest import Service

CSV, PLAIN = {"Content-Type": "text/csv"}, {"Content-Type": "text/plain; charset=utf-8"}


def test_json_goes_in_and_comes_out_in_order(service: Service) -> None:
    labels = ["Laysan albatross", {"name": "crane", "sense": "the bird"}, {"name": "Crane", "sense": "the machine"}]
    answer = service.http.post("/v1/vocabularies", json={"name": " birds ", "domain": "birds", "labels": labels})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/v1/vocabularies/{made['id']}"
    assert made == service.get(answer.headers["location"])
    assert (made["object"], made["name"], made["num_labels"]) == ("vocabulary", "birds", 3)
    assert made["created_at"].endswith("Z")
    found = service.get(f"/v1/vocabularies/{made['id']}/labels")
    assert [(one["position"], one["name"], one["sense"]) for one in found["data"]] == [
        (0, "Laysan albatross", None),
        (1, "crane", "the bird"),
        (2, "Crane", "the machine"),
    ]
    assert (found["first_id"], found["last_id"], found["has_more"]) == ("0", "2", False)


def test_the_three_forms_make_the_same_vocabulary(service: Service) -> None:
    body = {"name": "b", "domain": "d", "labels": ["crane", 'a "quoted", one', "naïve"]}
    csv = 'name\ncrane\n"a ""quoted"", one"\nnaïve\n'
    plain = '\ufeffcrane\r\na "quoted", one\r\nnaïve\r\n'
    made = [
        service.post("/v1/vocabularies", body),
        service.http.post("/v1/vocabularies?name=b&domain=d", content=csv.encode(), headers=CSV).json(),
        service.http.post("/v1/vocabularies?name=b&domain=d", content=plain.encode(), headers=PLAIN).json(),
    ]
    assert len({one["digest"] for one in made}) == 1
    assert len({one["id"] for one in made}) == 3


def test_csv_senses(service: Service) -> None:
    csv = b'name,sense\ncrane,the bird\ncrane,"the machine,\nin two lines"\nheron,\n'
    made = service.http.post("/v1/vocabularies?name=b", content=csv, headers=CSV)
    assert made.status_code == 422  # a line break is a control character
    assert made.json()["errors"][0] == {
        "pointer": "/labels/1/sense",
        "detail": "line 3: has a control character (U+000A)",
    }
    csv = b"name,sense\ncrane,the bird\ncrane,the machine\nheron,\n"
    made = service.http.post("/v1/vocabularies?name=b", content=csv, headers=CSV)
    labels = service.get(f"{made.headers['location']}/labels")["data"]
    assert [one["sense"] for one in labels] == ["the bird", "the machine", None]


def test_pages_meet_without_gap_or_overlap(service: Service) -> None:
    names = [f"label {n:03}" for n in range(57)]
    id = service.vocabulary(*names)
    seen: list[str] = []
    after: dict[str, Any] = {}
    while True:
        found = service.get(f"/v1/vocabularies/{id}/labels", limit=10, **after)
        seen += [one["name"] for one in found["data"]]
        if not found["has_more"]:
            break
        after = {"after": found["last_id"]}
    assert seen == names
    beyond = service.get(f"/v1/vocabularies/{id}/labels", after=56)
    assert (beyond["data"], beyond["has_more"], beyond["last_id"]) == ([], False, None)


def test_lists_begin_with_the_newest(service: Service) -> None:
    ids = [service.vocabulary() for _ in range(5)]
    first = service.get("/v1/vocabularies", limit=2)
    assert [one["id"] for one in first["data"]] == ids[:2:-1]
    assert (first["object"], first["has_more"], first["last_id"]) == ("list", True, ids[3])
    rest = service.get("/v1/vocabularies", limit=100, after=first["last_id"])
    assert [one["id"] for one in rest["data"]] == ids[2::-1]
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


def test_a_bad_list_changes_nothing_and_points_at_the_culprit(service: Service, subtests: pytest.Subtests) -> None:
    for body, code, pointer in BAD:
        with subtests.test(body=str(body)[:80]):
            problem = service.refusal("/v1/vocabularies", body)
            assert problem["code"] == code, problem
            assert pointer in [one["pointer"] for one in problem["errors"]], problem
    with service.db.read() as tx:
        assert tx.query(Vocabulary).count() == tx.query(Label).count() == 0


def test_100_000_labels_fit_and_one_more_does_not(service: Service) -> None:
    plain = "\n".join(f"label {n}" for n in range(100_001)).encode()
    answer = service.http.post("/v1/vocabularies?name=b", content=plain, headers=PLAIN)
    assert (answer.status_code, answer.json()["code"]) == (422, "vocabulary_too_large")
    whole = plain[: plain.rindex(b"\n")]
    made = service.http.post("/v1/vocabularies?name=b", content=whole, headers=PLAIN)
    assert made.json()["num_labels"] == 100_000
    last = service.get(f"{made.headers['location']}/labels", after=99_998)
    assert [one["name"] for one in last["data"]] == ["label 99999"]


def test_malformed_csv_names_the_line(service: Service, subtests: pytest.Subtests) -> None:
    for csv, line in [
        (b"name,sense\ncrane,bird\nheron\n", "line 3:"),
        (b"name\ncrane\nheron,grey\n", "line 3:"),
        (b'name\ncrane\n"heron\n', "line 3:"),
        (b'name\ncrane\nher"on" x\n"a"b\n', "line 4:"),
        (b"name\ncrane\n\nheron\n", "line 3:"),
        (b"name\ncrane\nher\xffon\n", "line 3:"),
        (b"label\ncrane\n", "line 1:"),
        (b"", "line 1:"),
        (b'name\n"one\ntwo"\ncrane\nCRANE\n', "line 2:"),
    ]:
        with subtests.test(csv=csv):
            answer = service.http.post("/v1/vocabularies?name=b", content=csv, headers=CSV)
            problem = answer.json()
            assert answer.status_code == 422, problem
            assert problem["errors"][0]["detail"].startswith(line), problem
    assert service.get("/v1/vocabularies")["data"] == []


def test_plain_text_names_the_line(service: Service) -> None:
    answer = service.http.post("/v1/vocabularies?name=b", content=b"crane\n\nheron\n", headers=PLAIN)
    assert answer.json()["errors"] == [{"pointer": "/labels/1/name", "detail": "line 2: is blank"}]
    answer = service.http.post("/v1/vocabularies?name=b", content=b"", headers=PLAIN)
    assert answer.json()["code"] == "vocabulary_empty"
    answer = service.http.post("/v1/vocabularies", content=b"crane", headers=PLAIN)
    assert answer.json()["errors"] == [{"pointer": "", "parameter": "name", "detail": "is blank"}]


def test_broken_json_and_other_types(service: Service) -> None:
    for content, type_, status, code in [
        (b'{"name": ', "application/json", 400, "malformed_json"),
        (b"[" * 50_000, "application/json", 400, "malformed_json"),
        (b'{"name": "\xff"}', "application/json", 400, "malformed_json"),
        (rb'{"name": "b", "labels": ["cra\ud800ne"]}', "application/json", 400, "malformed_json"),
        (b"<labels/>", "application/xml", 415, "unsupported_media_type"),
    ]:
        answer = service.http.post("/v1/vocabularies", content=content, headers={"Content-Type": type_})
        assert (answer.status_code, answer.json()["code"]) == (status, code), content[:20]


@given(labels=st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_taken_comes_out_as_it_went_in(service: Service, labels: list[str]) -> None:
    answer = service.http.post(
        "/v1/vocabularies",
        content=json.dumps({"name": "any", "labels": labels}),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in (201, 422)
    if answer.status_code == 422:
        assert answer.json()["errors"]
        return
    found = service.get(f"{answer.headers['location']}/labels")["data"]
    assert [one["name"] for one in found] == [unicodedata.normalize("NFC", label).strip() for label in labels]
