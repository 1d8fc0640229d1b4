"""Operations on a draft: their effects, and invalid operations."""

from typing import Any

import pytest

from api.readers.draft_changes import MAX_OPERATIONS
from tests.api.conftest import Service
from tests.api.drafting import ADD, NECK, TALL, WINGS, id_of, lines_of, patch


def test_each_operation_and_its_effect_on_origin_lock_and_call(service: Service, set_id: str) -> None:
    neck, wings = id_of(**NECK), id_of(**WINGS)
    result = patch(
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
    assert (result["version"], result["num_edited"]) == (1, 3)
    crane, heron, machine = result["changed"]
    assert [(line["text"], line["origin"], line["locked"], line["call"]) for line in crane["lines"]] == [
        ("a very long neck", "human", False, "ab12"),  # reworded by a person, still linked to its call
        ("A crane.", "human", True, ""),
        ("black wings", "llm", False, "ab12"),
        ("a red crown", "human", False, ""),
    ]
    assert (crane["lines"][0]["part"], crane["lines"][0]["value"]) == ("neck", "very long")
    assert heron["lines"][0]["about"] == "crane (bird)"
    assert [(line["origin"], line["locked"]) for line in machine["lines"]] == [("import", True)]

    assert [item["position"] for item in service.get(f"/v1/attribute-sets/{set_id}/draft/labels")["data"]] == [0, 1, 2]
    assert [line["text"] for line in lines_of(service, set_id)] == ["A tall grey bird.", "a long neck", "black wings"]
    drafted = service.get(f"/v1/attribute-sets/{set_id}/labels", draft=True)["data"]
    assert [item["edited"] for item in drafted] == [True, True, True, False]
    assert drafted[0]["lines"] == crane["lines"]


def test_replace_keeps_existing_lines_and_revert_discards_edits(service: Service, set_id: str) -> None:
    given = [{"kind": "phrase", "text": "black wings"}, {"id": id_of(**NECK), "text": "a neck"}, {"text": "a bill"}]
    result = patch(service, set_id, {"op": "replace", "position": 0, "lines": given})
    assert [(x["text"], x["origin"], x["locked"], x["call"], x["kind"]) for x in result["changed"][0]["lines"]] == [
        ("black wings", "llm", True, "ab12", "phrase"),
        ("a neck", "human", False, "ab12", "phrase"),
        ("a bill", "human", False, "", "phrase"),
    ]
    result = patch(service, set_id, {"op": "revert", "position": 0}, version=1)
    assert (result["version"], result["num_edited"]) == (2, 0)
    assert [line["text"] for line in result["changed"][0]["lines"]] == [
        "A tall grey bird.",
        "a long neck",
        "black wings",
    ]


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
    ({**ADD, "kind": "contrast", "about": "crane"}, "/about", "its sense in brackets"),
    ({**ADD, "before": "0123456789ab"}, "/before", "no line '0123456789ab'"),
    ({**EDIT, "line": "0123456789ab", "text": "x"}, "/line", "gets a new id"),
    ({**EDIT, "text": ""}, "/text", "is blank"),
    ({**EDIT, "texts": "x"}, "/texts", "not permitted"),
    ({**EDIT, "text": "black wings", "part": "", "value": ""}, "/text", "says the same as line"),
    ({"op": "delete", "position": 2, "line": id_of(**NECK)}, "/line", "has no line"),
    ({"op": "lock", "position": 0, "line": "x"}, "/line", "has no line"),
    ({"op": "frobnicate", "position": 0}, "", "frobnicate"),
    ({"op": "replace", "position": 0, "lines": [{"text": "a"}, {"text": "a"}]}, "/lines/1/text", "says the same"),
    ({"op": "replace", "position": 0, "lines": [{"kind": "phrase"}]}, "/lines/0/text", "is missing"),
    ({"op": "replace", "position": 0, "lines": [{"id": "x", "text": "a"}]}, "/lines/0/id", "has no line"),
]


@pytest.mark.slow
def test_invalid_operations_change_nothing(service: Service, set_id: str, subtests: pytest.Subtests) -> None:
    for operation, pointer, detail in BAD:
        with subtests.test(operation=str(operation)[:90]):
            problem = patch(service, set_id, {**ADD, "text": "fine"}, operation, status=422)
            assert problem["errors"][0]["pointer"] == f"/operations/1{pointer}", problem
            assert detail in problem["errors"][0]["detail"], problem
    draft = service.get(f"/v1/attribute-sets/{set_id}/draft")
    assert (draft["version"], draft["num_edited"]) == (0, 0)


def test_all_invalid_operations_are_listed(service: Service, set_id: str) -> None:
    result = patch(service, set_id, {**ADD, "text": "."}, ADD, ADD, {**ADD, "position": 9}, status=422)
    assert sorted(error["pointer"] for error in result["errors"]) == [
        "/operations/0/text",
        "/operations/2/text",
        "/operations/3/position",
    ]
    result = patch(service, set_id, *[ADD] * (MAX_OPERATIONS + 1), status=422)
    assert result["errors"][0]["pointer"] == "/operations"
    assert patch(service, set_id, status=422)["errors"][0]["pointer"] == "/operations"
