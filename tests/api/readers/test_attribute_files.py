"""Parsing of uploaded attribute files, and matching of their entries to labels."""

from pathlib import Path
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


def test_all_faults_are_listed_and_a_partial_import_leaves_them_out(service: Service) -> None:
    document: dict[str, Any] = {"crane": ["a red cap", 7], "ibis": 8, "heron": ["a\u200b grey\nback"]}
    document |= {f"x{i}": i for i in range(30)}
    problem = service.rejection(IMPORT, {"format": "auto", "document": document})
    assert (problem["code"], len(problem["errors"])) == ("import_malformed", 20)
    assert "32 faults" in problem["detail"]
    assert [error["pointer"] for error in problem["errors"][:2]] == ["/document/crane/1", "/document/ibis"]
    report = service.post(IMPORT, {"format": "auto", "document": document, "partial": True})["import_report"]
    assert (report["num_left_out"], len(report["left_out"])) == (32, 20)
    assert report["left_out"][0]["pointer"] == "/document/crane/1"
    assert (report["normalized_texts"], report["dropped_characters"], report["num_lines"]) == (1, 1, 2)


def test_faults_of_a_posted_text_have_their_lines(service: Service) -> None:
    text = '{"crane": ["a"],\n"ibis": 8,\n"crane": ["b"]}'
    problem = service.rejection(IMPORT, {"format": "auto", "document": text})
    assert [error["pointer"] for error in problem["errors"]] == ["/document", "/document"]
    assert sorted(error["detail"][:7] for error in problem["errors"]) == ["line 2:", "line 3:"]


def test_published_spellings_are_matched_and_reported(service: Service) -> None:
    labels = [
        "Black footed Albatross",
        "Brandt Cormorant",
        {"name": "crane", "sense": "bird"},
        {"name": "crane", "sense": "machine"},
        "hammerhead",
        "heron",
    ]
    vocabulary_id = service.post("/v1/vocabularies", {"name": "v", "labels": labels})["id"]
    document = {
        "001.Black-footed_Albatross": ["a hooked bill"],
        "Brandt's cormorant": ["a blue throat"],
        "crane": ["a long neck"],
        "hammerhead shark": ["a wide head"],
        "zebra": ["stripes"],
    }
    body = {"format": "dclip", "vocabulary_id": vocabulary_id, "document": document}
    problem = service.rejection(IMPORT, body)
    assert problem["code"] == "label_unknown"
    assert [error["detail"] for error in problem["errors"]] == [
        'label "hammerhead shark" is not in the vocabulary; near: "hammerhead"',
        'label "zebra" is not in the vocabulary',
    ]
    created = service.post(IMPORT, {**body, "partial": True, "map": {"hammerhead shark": "hammerhead"}})
    report = created["import_report"]
    assert [report[f"num_{how}"] for how in ("exact", "normalized", "mapped", "shared", "left_out")] == [0, 2, 1, 1, 1]
    assert report["normalized"][1] == {"label": "Brandt's cormorant", "labels": ["Brandt Cormorant"]}
    assert report["shared"] == [{"label": "crane", "labels": ["crane (bird)", "crane (machine)"]}]
    assert report["mapped"] == [{"label": "hammerhead shark", "labels": ["hammerhead"]}]
    assert (report["num_without_entry"], report["without_entry"]) == (1, ["heron"])
    described = {(item["label"], item["sense"]): item["described"] for item in _entries(service, created["id"])}
    assert [label for (label, _), is_described in described.items() if not is_described] == ["heron"]


def test_a_partial_import_without_any_match_is_refused(service: Service) -> None:
    vocabulary_id = service.vocabulary("crane", "heron")
    body = {"format": "dclip", "vocabulary_id": vocabulary_id, "document": {"zebra": ["stripes"]}, "partial": True}
    assert service.rejection(IMPORT, body)["code"] == "label_unknown"


def test_a_map_names_identifiers_of_a_new_vocabulary(service: Service) -> None:
    body = {
        "format": "auto",
        "document": {"n02012849": ["a long neck"], "n03126707": ["a boom"], "n0": ["x"]},
        "map": {"n02012849": "crane (bird)", "n03126707": "crane (machine)", "n0": None},
    }
    created = service.post(IMPORT, body)
    assert [(item["label"], item["sense"]) for item in _entries(service, created["id"])] == [
        ("crane", "bird"),
        ("crane", "machine"),
    ]
    assert (created["import_report"]["num_mapped"], created["import_report"]["num_left_out"]) == (2, 1)


def test_underscores_of_a_published_file_become_spaces(service: Service) -> None:
    created = service.post(IMPORT, {"format": "auto", "document": {"red_fox": ["a bushy tail"], "crane_": ["a neck"]}})
    assert [item["label"] for item in _entries(service, created["id"])] == ["red fox", "crane"]
    assert created["import_report"]["warnings"] == ["the underscores of 2 labels became spaces"]


def test_numbers_of_folders_are_no_part_of_new_labels(service: Service) -> None:
    document = {"001.Sandhill_crane": ["a long neck"], "002.White_ibis": ["a bent bill"]}
    created = service.post(IMPORT, {"format": "auto", "document": document})
    assert [item["label"] for item in _entries(service, created["id"])] == ["Sandhill crane", "White ibis"]
    assert "the number before each label, such as 001., was removed" in created["import_report"]["warnings"]


def test_the_published_tiered_imagenet_is_imported_with_senses(service: Service, tiered_imagenet: Path) -> None:
    texts = {
        "label2text": (tiered_imagenet / "label2text.txt").read_text(),
        "sentences": (tiered_imagenet / "chatgpt.txt").read_text(),
    }
    created = service.post(IMPORT, {"format": "label2text", "name": "tiered", **texts})
    assert (created["num_labels"], created["num_described"]) == (1000, 1000)
    assert sum("such a sense says nothing to an LLM" in one for one in created["import_report"]["warnings"]) == 3
    exported = service.http.get(f"/v1/attribute-sets/{created['id']}/export", params={"format": "label2text"}).text
    assert exported == texts["label2text"]


def test_the_published_cupl_pets_are_imported(service: Service, cupl_pets: Path) -> None:
    created = service.post(IMPORT, {"format": "auto", "document": cupl_pets.read_text()})
    assert (created["num_labels"], created["source"]["import"]) == (37, "cupl")
    assert created["import_report"]["normalized_texts"] >= 1
