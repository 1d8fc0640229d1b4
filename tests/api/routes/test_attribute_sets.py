"""Attribute sets through HTTP: imported, read, exported, and the published CUB files there and back."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.models import AttributeSet, Vocabulary
from tests.api.conftest import Service
from tests.conftest import SHARED_DATA

IMPORT = "/v1/attribute-sets/import"


def _entries(service: Service, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get(f"/v1/attribute-sets/{id}/labels", limit=1000)["data"]
    return found


def test_published_cub_sentences_go_in_and_come_out_unchanged(service: Service, cub: Path) -> None:
    label2text = (cub / "label2text.txt").read_text()
    sentences = (cub / "chatgpt.txt").read_text()
    body = {"format": "label2text", "name": "CUB", "domain": "birds", "label2text": label2text, "sentences": sentences}
    made = service.post(IMPORT, body)
    assert (made["num_labels"], made["num_described"], made["num_flagged"]) == (200, 200, 2)
    vocabulary = service.get(f"/v1/vocabularies/{made['vocabulary_id']}")
    assert (vocabulary["name"], vocabulary["domain"], vocabulary["num_labels"]) == ("CUB", "birds", 200)

    entries = _entries(service, made["id"])
    published = [line.split(" ")[2] for line in label2text.splitlines()]
    assert [one["label"].replace(" ", "_") for one in entries] == published
    assert [one["lines"][0]["text"] for one in entries] == sentences.splitlines()
    assert [one["position"] for one in entries if "empty" in one["flags"]] == [97, 107]

    exported = service.http.get(f"/v1/attribute-sets/{made['id']}/export").text
    again = service.post(IMPORT, {"format": "json", "document": json.loads(exported)})
    assert again["vocabulary_id"] != made["vocabulary_id"]
    assert _entries(service, again["id"]) == entries
    assert service.http.get(f"/v1/attribute-sets/{again['id']}/export").text == exported


@pytest.mark.parametrize("folder", ["CaltechBirds", "Flower102"])
def test_published_files_come_out_byte_for_byte_also_after_an_edit(service: Service, folder: str) -> None:
    at = SHARED_DATA / "li2023" / folder
    if not at.is_dir():
        pytest.skip(f"the published files are not in {at}")
    texts = {"label2text": (at / "label2text.txt").read_text(), "sentences": (at / "chatgpt.txt").read_text()}
    id = service.post(IMPORT, {"format": "label2text", **texts})["id"]
    for what, text in texts.items():
        assert service.http.get(f"/v1/attribute-sets/{id}/export", params={"format": what}).text == text
    edit = {"operations": [{"op": "add", "position": 3, "kind": "phrase", "text": "a phrase"}]}
    answer = service.http.patch(f"/v1/attribute-sets/{id}/draft", json=edit, headers={"If-Match": '"0"'})
    assert answer.status_code == 200
    sealed = service.post(f"/v1/attribute-sets/{id}/draft/seal", None)["id"]
    for what, text in texts.items():
        assert service.http.get(f"/v1/attribute-sets/{sealed}/export", params={"format": what}).text == text


def test_published_dclip_and_csv_go_there_and_back(service: Service) -> None:
    at = SHARED_DATA / "dclip" / "descriptors_cub.json"
    if not at.is_file():
        pytest.skip(f"the published file is not in {at}")
    made = service.post(IMPORT, {"format": "dclip", "document": at.read_text()})
    exported = service.http.get(f"/v1/attribute-sets/{made['id']}/export", params={"format": "dclip"}).text
    assert json.loads(exported) == json.loads(at.read_text())
    answer = service.http.get(f"/v1/attribute-sets/{made['id']}/export", params={"format": "csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    body = {"format": "csv", "vocabulary_id": made["vocabulary_id"], "document": answer.text}
    assert service.post(IMPORT, body)["digest"] == made["digest"]


def test_cupl_becomes_answers_and_goes_out_again(service: Service) -> None:
    document = {"crane": ["A crane is tall."], "ibis": ["An ibis has a bent bill.", "It is white."]}
    made = service.post(IMPORT, {"format": "cupl", "document": document})
    assert [line["kind"] for one in _entries(service, made["id"]) for line in one["lines"]] == ["answer"] * 3
    path = f"/v1/attribute-sets/{made['id']}/export"
    assert service.http.get(path, params={"format": "cupl"}).json() == document
    answer = service.http.get(path, params={"format": "dclip"})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_in_this_format")


def test_a_form_with_files_is_as_good_as_json(service: Service) -> None:
    files = {"label2text": b"1.A_crane 1 A_crane\n2.B 2 B\n", "sentences": b"A tall bird.\n.\n"}
    answer = service.http.post(IMPORT, data={"format": "label2text", "name": "two"}, files=files)
    assert answer.status_code == 201, answer.text
    entries = _entries(service, answer.json()["id"])
    assert [(one["label"], one["lines"][0]["text"], one["flags"]) for one in entries] == [
        ("A crane", "A tall bird.", []),
        ("B", ".", ["empty"]),
    ]
    assert entries[0]["lines"][0]["origin"] == "import"


def test_dclip_there_and_back_matched_to_a_vocabulary(service: Service) -> None:
    labels = ["heron", {"name": "crane", "sense": "bird"}, {"name": "crane", "sense": "machine"}, "ibis"]
    vocabulary_id = service.post("/v1/vocabularies", {"name": "v", "labels": labels})["id"]
    document = {"crane (machine)": ["a boom"], "Heron": ["a long neck", "grey wings"], "crane (bird)": ["a red cap"]}
    made = service.post(IMPORT, {"format": "dclip", "vocabulary_id": vocabulary_id, "document": document})
    assert (made["vocabulary_id"], made["num_labels"], made["num_described"]) == (vocabulary_id, 4, 3)
    entries = _entries(service, made["id"])
    assert [(one["label"], one["sense"], one["described"]) for one in entries] == [
        ("heron", None, True),
        ("crane", "bird", True),
        ("crane", "machine", True),
        ("ibis", None, False),
    ]
    assert [line["text"] for line in entries[2]["lines"]] == ["a boom"]
    exported = service.http.get(f"/v1/attribute-sets/{made['id']}/export", params={"format": "dclip"})
    assert exported.json() == {
        "heron": ["a long neck", "grey wings"],
        "crane (bird)": ["a red cap"],
        "crane (machine)": ["a boom"],
        "ibis": [],
    }


def test_what_nothing_is_said_of_stays_so_through_our_own_json(service: Service) -> None:
    vocabulary_id = service.vocabulary("crane", "heron")
    made = service.post(IMPORT, {"format": "dclip", "vocabulary_id": vocabulary_id, "document": {"heron": ["grey"]}})
    document = service.http.get(f"/v1/attribute-sets/{made['id']}/export").json()
    again = service.post(IMPORT, {"format": "json", "vocabulary_id": vocabulary_id, "document": document})
    assert (again["digest"] != "", again["num_described"]) == (True, 1)
    assert _entries(service, again["id"]) == _entries(service, made["id"])


def test_sets_are_listed_and_paged(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(300)))
    id = service.attribute_set(vocabulary_id)
    other = service.attribute_set(service.vocabulary())
    assert [one["id"] for one in service.get("/v1/attribute-sets")["data"]] == [other, id]
    assert [one["id"] for one in service.get("/v1/attribute-sets", vocabulary_id=vocabulary_id)["data"]] == [id]
    found = service.get(f"/v1/attribute-sets/{id}/labels", after=249, limit=20)  # across two stored pages
    assert [one["position"] for one in found["data"]] == list(range(250, 270))
    assert (found["has_more"], found["last_id"]) == (True, "269")
    assert found["data"][0]["lines"][0]["text"] == "a label 250 head"


BAD: list[tuple[dict[str, Any], str, str, str]] = [
    ({"format": "label2text", "label2text": "1.A 1 A\n2.B 2\n", "sentences": "x\ny\n"}, "import_malformed",
     "/label2text", "line 2"),
    ({"format": "label2text", "label2text": "1.A 1 A\n2.B 2 B\n", "sentences": "x\n"}, "import_malformed",
     "/sentences", "line 2"),
    ({"format": "label2text", "label2text": "1.A 1 A\n2.a 2 a\n", "sentences": "x\ny\n"}, "import_malformed",
     "/label2text", "line 2"),
    ({"format": "label2text", "label2text": "1.A 1 A\n"}, "invalid_request", "/sentences", "required"),
    ({"format": "dclip", "document": {"crane": "a red cap"}}, "import_malformed", "/document", "list of phrases"),
    ({"format": "dclip", "document": {"crane": ["a\u0000b"]}}, "import_malformed", "/document", ""),
    ({"format": "dclip", "document": {}}, "import_empty", "/document", ""),
    ({"format": "dclip", "document": '{"crane":\n["a",]}'}, "import_malformed", "/document", "line 2"),
    ({"format": "dclip", "vocabulary_id": "voc_none", "document": {"a": ["b"]}}, "vocabulary_not_found",
     "/vocabulary_id", "voc_none"),
    ({"format": "json", "document": {"crane": []}}, "import_malformed", "/document", ""),
    ({"format": "json", "document": {"format": "limbeck.attributes", "version": 2, "entries": [
        {"label": "crane", "lines": [{"kind": "sentence", "text": "a\u0000b"}]}]}},
     "import_malformed", "/document", "U+0000"),
    ({"format": "cupl", "document": {"crane": "A crane is tall."}}, "import_malformed", "/document", "of sentences"),
    ({"format": "csv", "document": "label,text\ncrane,a\n"}, "import_malformed", "/document", "the header lacks kind"),
    ({"format": "csv", "document": "label,kind,text\ncrane,phrase,a\ncrane,verse,b\n"}, "import_malformed",
     "/document", "line 3: kind"),
    ({"format": "csv", "document": {"crane": []}}, "invalid_request", "/document", "string"),
    ({"format": "yaml", "document": {}}, "invalid_request", "", "format"),
    ({"document": {}}, "invalid_request", "", "format"),
    ({"format": "dclip", "document": {"a": ["b"]}, "vocabulary": "x"}, "invalid_request", "/vocabulary", ""),
]  # fmt: skip


def test_a_bad_file_changes_nothing(service: Service, subtests: pytest.Subtests) -> None:
    for body, code, pointer, says in BAD:
        with subtests.test(body=str(body)[:80]):
            problem = service.refusal(IMPORT, body)
            assert problem["code"] == code, problem
            assert problem["errors"][0]["pointer"] == pointer, problem
            assert says in problem["errors"][0]["detail"], problem
    with service.db.read() as tx:
        assert tx.query(Vocabulary).count() == tx.query(AttributeSet).count() == 0


def test_labels_that_the_vocabulary_lacks_are_all_named(service: Service) -> None:
    vocabulary_id = service.vocabulary("crane", "heron")
    document = {"crane": ["a"], "stork": ["b"], "ibis": ["c"]}
    problem = service.refusal(IMPORT, {"format": "dclip", "vocabulary_id": vocabulary_id, "document": document})
    assert problem["code"] == "label_unknown"
    assert ["stork" in problem["errors"][0]["detail"], "ibis" in problem["errors"][1]["detail"]] == [True, True]


def test_unknown_ids_and_forms(service: Service) -> None:
    for path in ("ats_none", "ats_none/labels", "ats_none/export", "voc_%20"):
        answer = service.http.get(f"/v1/attribute-sets/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "attribute_set_not_found")
    id = service.attribute_set(service.vocabulary())
    answer = service.http.get(f"/v1/attribute-sets/{id}/export", params={"format": "yaml"})
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "format")
    answer = service.http.post(IMPORT, content=b"a,b", headers={"Content-Type": "text/csv"})
    assert answer.status_code == 415


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=40)
_SOME = _TEXT.filter(bool)
_LINE = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["sentence", "phrase", "answer", "contrast"]),
        "text": _TEXT,
        "origin": st.sampled_from(["llm", "human", "import"]),
    },
    optional={"part": _SOME, "value": _SOME, "about": _SOME, "locked": st.just(True), "strategy": _SOME},
)
_ENTRY = st.fixed_dictionaries({"lines": st.lists(_LINE, max_size=5)})


@given(entries=st.lists(_ENTRY, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_own_json_survives_any_number_of_journeys(service: Service, entries: list[dict[str, Any]]) -> None:
    listed = [{"label": f"label {n}", **entry} for n, entry in enumerate(entries)]
    document = {"format": "limbeck.attributes", "version": 2, "entries": listed}
    first = service.post(IMPORT, {"format": "json", "document": document})
    exported = service.http.get(f"/v1/attribute-sets/{first['id']}/export").text
    second = service.post(IMPORT, {"format": "json", "document": exported})
    assert service.http.get(f"/v1/attribute-sets/{second['id']}/export").text == exported
    for given_, kept in zip(listed, json.loads(exported)["entries"], strict=True):
        if given_["lines"]:
            assert {key: kept[key] for key in given_} == given_
