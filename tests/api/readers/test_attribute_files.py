"""Parsing of uploaded attribute files, and matching of their entries to labels."""

from typing import Any

import pytest

from store.models import AttributeSet, Vocabulary
from tests.api.conftest import Service

IMPORT = "/v1/attribute-sets/import"


def _entries(service: Service, id: str) -> list[dict[str, Any]]:
    body: list[dict[str, Any]] = service.get(f"/v1/attribute-sets/{id}/labels", limit=1000)["data"]
    return body


def test_dclip_matched_to_a_vocabulary(service: Service) -> None:
    labels = ["heron", {"name": "crane", "sense": "bird"}, {"name": "crane", "sense": "machine"}, "ibis"]
    vocabulary_id = service.post("/v1/vocabularies", {"name": "v", "labels": labels})["id"]
    document = {"crane (machine)": ["a boom"], "Heron": ["a long neck", "grey wings"], "crane (bird)": ["a red cap"]}
    created = service.post(IMPORT, {"format": "dclip", "vocabulary_id": vocabulary_id, "document": document})
    assert (created["vocabulary_id"], created["num_labels"], created["num_described"]) == (vocabulary_id, 4, 3)
    entries = _entries(service, created["id"])
    assert [(item["label"], item["sense"], item["described"]) for item in entries] == [
        ("heron", None, True),
        ("crane", "bird", True),
        ("crane", "machine", True),
        ("ibis", None, False),
    ]
    assert [line["text"] for line in entries[2]["lines"]] == ["a boom"]
    exported = service.http.get(f"/v1/attribute-sets/{created['id']}/export", params={"format": "dclip"})
    assert exported.json() == {
        "heron": ["a long neck", "grey wings"],
        "crane (bird)": ["a red cap"],
        "crane (machine)": ["a boom"],
        "ibis": [],
    }


BAD: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"format": "label2text", "label2text": "1.A 1 A\n2.B 2\n", "sentences": "x\ny\n"},
        "import_malformed",
        "/label2text",
        "line 2",
    ),
    (
        {"format": "label2text", "label2text": "1.A 1 A\n2.B 2 B\n", "sentences": "x\n"},
        "import_malformed",
        "/sentences",
        "line 2",
    ),
    (
        {"format": "label2text", "label2text": "1.A 1 A\n1.A 2 a\n", "sentences": "x\ny\n"},
        "import_malformed",
        "/label2text",
        "line 2",
    ),
    ({"format": "label2text", "label2text": "1.A 1 A\n"}, "invalid_request", "/sentences", "required"),
    (
        {"format": "dclip", "document": {"crane": 7}},
        "import_malformed",
        "/document/crane",
        "a list of texts, not a number",
    ),
    ({"format": "auto", "document": {"a": ["b", {"c": [7]}]}}, "import_malformed", "/document/a/1/c/0", "not a number"),
    (
        {"format": "auto", "document": {"n01440764": ["a"], "n01443537": ["b"]}},
        "label_is_identifier",
        "/document",
        "map",
    ),
    ({"format": "parquet", "document": "no base64"}, "invalid_request", "/document", "base64"),
    ({"format": "parquet", "document": "AAAA"}, "import_malformed", "/document", "is not Parquet"),
    ({"format": "jsonl", "document": {"a": ["b"]}}, "invalid_request", "/document", "must be a string"),
    (
        {"format": "dclip", "document": {"a": ["b"]}, "map": {"x": "y"}},
        "map_invalid",
        "/map",
        "not a label of the file",
    ),
    ({"format": "dclip", "document": {}}, "import_empty", "/document", ""),
    ({"format": "dclip", "document": '{"crane":\n["a",]}'}, "import_malformed", "/document", "line 2"),
    (
        {"format": "dclip", "vocabulary_id": "voc_none", "document": {"a": ["b"]}},
        "vocabulary_not_found",
        "/vocabulary_id",
        "voc_none",
    ),
    ({"format": "json", "document": {"crane": []}}, "import_malformed", "/document", "choose the format auto"),
    (
        {
            "format": "json",
            "document": {
                "format": "limbeck.attributes",
                "version": 2,
                "entries": [{"label": "crane", "lines": [{"kind": "sentence", "text": "ab", "call": "\u0000"}]}],
            },
        },
        "import_malformed",
        "/document",
        "NUL character",
    ),
    ({"format": "csv", "document": "label,note\ncrane,a\n"}, "import_malformed", "/document", "the header lacks kind"),
    (
        {"format": "csv", "document": "label,kind,text\ncrane,phrase,a\ncrane,verse,b\n"},
        "import_malformed",
        "/document",
        "line 3: kind",
    ),
    ({"format": "csv", "document": {"crane": []}}, "invalid_request", "/document", "string"),
    ({"format": "yaml", "document": {}}, "invalid_request", "", "format"),
    ({"document": {}}, "invalid_request", "", "format"),
    ({"format": "dclip", "document": {"a": ["b"]}, "vocabulary": "x"}, "invalid_request", "/vocabulary", ""),
]


def test_invalid_files_are_rejected(service: Service, subtests: pytest.Subtests) -> None:
    for body, code, pointer, detail in BAD:
        with subtests.test(body=str(body)[:80]):
            problem = service.rejection(IMPORT, body)
            assert problem["code"] == code, problem
            assert problem["errors"][0]["pointer"] == pointer, problem
            assert detail in problem["errors"][0]["detail"], problem
    with service.db.read() as tx:
        assert tx.query(Vocabulary).count() == tx.query(AttributeSet).count() == 0


def test_all_labels_missing_in_the_vocabulary_are_listed(service: Service) -> None:
    vocabulary_id = service.vocabulary("crane", "heron")
    document = {"crane": ["a"], "stork": ["b"], "ibis": ["c"]}
    problem = service.rejection(IMPORT, {"format": "dclip", "vocabulary_id": vocabulary_id, "document": document})
    assert problem["code"] == "label_unknown"
    assert ["stork" in problem["errors"][0]["detail"], "ibis" in problem["errors"][1]["detail"]] == [True, True]
