"""Gate reports: start a check, run it as a worker does, get the report and page the labels that fail a gate."""

import threading
from typing import Any

import pytest
from sqlalchemy import select

from store.models import GateFailure, Part, SetReport
from tests.api.conftest import Service
from tests.distill.conftest import save_clip, tiny_clip_config
from workers.enrich.gates import EVERY, check_set
from workers.runtime.context import Context
from workers.runtime.run_part import claim_part, run_claimed

IMPORT = "/v1/attribute-sets/import"
OWN = ["a red crown", "long grey legs", "drooping tail plumes"]
GOOD = {
    "crane": OWN,
    "heron": ["a black eyebrow stripe", "a dagger-shaped yellow bill", "a folded s-shaped neck"],
    "stork": ["black flight feathers", "a straight orange beak", "pure white shoulders"],
}


def put(service: Service, document: dict[str, list[str]]) -> str:
    id: str = service.post(IMPORT, {"format": "dclip", "document": document})["id"]
    return id


def work(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    """Run the part of the check job as a worker does, and return the job."""
    context = Context(service.settings, service.db, service.artefacts, threading.Event())
    with service.db.read() as tx:
        part = tx.scalars(select(Part).where(Part.job_id == job["id"])).one()
    claim = claim_part(context, part.id)
    assert claim is not None
    if part.queue == "gpu":
        from workers.gpu.gates_with_teacher import check_with_teacher

        run_claimed(context, claim, check_with_teacher)
    else:
        run_claimed(context, claim, check_set)
    return service.get(f"/v1/jobs/{job['id']}")


def report(service: Service, id: str, **body: Any) -> dict[str, Any]:
    job = work(service, service.post(f"/v1/attribute-sets/{id}/report", body, status=202))
    assert job["status"] == "succeeded", job
    return service.get(f"/v1/attribute-sets/{id}/report")


def gate(result: dict[str, Any], name: str) -> dict[str, Any]:
    (item,) = [gate for gate in result["gates"] if gate["gate"] == name]
    result: dict[str, Any] = item
    return result


def test_a_missing_report_returns_404_with_the_fix(service: Service) -> None:
    id = put(service, GOOD)
    response = service.http.get(f"/v1/attribute-sets/{id}/report")
    assert (response.status_code, response.json()["code"]) == (404, "report_not_found")
    assert f"POST /v1/attribute-sets/{id}/report makes one" in response.json()["detail"]
    by_teacher = service.http.get(f"/v1/attribute-sets/{id}/report", params={"teacher": "RN50:openai"})
    assert "with teacher RN50:openai: POST" in by_teacher.json()["detail"]
    assert service.http.get(f"/v1/attribute-sets/{id}/report/own/labels").status_code == 404
    unknown = service.http.get("/v1/attribute-sets/ats_none/report")
    assert unknown.json()["code"] == "attribute_set_not_found"


def test_check_a_set_and_get_its_report(service: Service) -> None:
    id = put(service, {**GOOD, "crane": [*OWN, "a loud call", "a bill like a heron"]})
    job = service.post(f"/v1/attribute-sets/{id}/report", {}, status=202)
    assert (job["kind"], job["status"], job["progress"]["total"], job["progress"]["unit"]) == (
        "check",
        "queued",
        3,
        "labels",
    )
    job = work(service, job)
    assert (job["status"], job["result"]) == (
        "succeeded",
        {"attribute_set_id": id, "failing_gates": ["names", "nonvisual"]},
    )
    result = service.get(f"/v1/attribute-sets/{id}/report")
    assert (result["attribute_set_id"], result["teacher"], result["holds"]) == (id, None, False)
    assert (result["num_labels"], result["num_lines"]) == (3, 11)
    names = gate(result, "names")
    assert (names["figure"], names["threshold"], names["holds"], names["num_labels"]) == (1, 0, False, 1)
    (violation,) = names["worst"]
    lines = service.get(f"/v1/attribute-sets/{id}/labels")["data"][0]["lines"]
    assert violation["lines"] == [{"id": lines[4]["id"], "text": "a bill like a heron", "words": ["heron"]}]
    assert violation["others"] == ["heron"]
    assert gate(result, "margin")["holds"] is None
    page = service.get(f"/v1/attribute-sets/{id}/report/nonvisual/labels")
    assert [(item["label"], item["lines"][0]["words"]) for item in page["data"]] == [("crane", ["loud"])]
    assert service.get(f"/v1/attribute-sets/{id}/report/own/labels")["data"] == []
    missing = service.http.get(f"/v1/attribute-sets/{id}/report/margin/labels")
    assert (missing.status_code, missing.json()["code"]) == (404, "gate_not_measured")
    assert service.http.get(f"/v1/attribute-sets/{id}/report/nothing/labels").status_code == 422


def test_gates_with_english_words_do_not_judge_a_german_set(service: Service) -> None:
    german = {
        "Kranich": ["eine leuchtend rote Krone", "lange graue Beine und ein langer Hals"],
        "Reiher": ["ein schwarzer Streifen über dem Auge", "ein spitzer gelber Schnabel"],
    }
    id = put(service, german)
    result = report(service, id)
    assert (result["holds"], result["status"], result["languages"]) == (True, "not_judged", {"de": 4})
    nonvisual = gate(result, "nonvisual")
    assert (nonvisual["status"], nonvisual["figure"], nonvisual["holds"]) == ("not_judged", None, None)
    assert nonvisual["num_not_judged"] == 4
    assert (gate(result, "verbatim")["status"], gate(result, "margin")["status"]) == ("holds", "not_measured")
    answer = service.http.get(f"/v1/attribute-sets/{id}/report/nonvisual/labels")
    assert (answer.status_code, answer.json()["code"]) == (404, "gate_not_measured")
    assert "does not judge nonvisual: not judged: the lines are in German" in answer.json()["detail"]


def test_a_report_of_an_earlier_version_is_shown(service: Service) -> None:
    id = put(service, GOOD)
    report(service, id)
    with service.db.write() as tx:
        row = tx.scalars(select(SetReport).where(SetReport.set_id == id)).one()
        gates = [one for one in row.figures["gates"] if one["gate"] != "meta"]
        for one in gates:
            del one["status"], one["num_not_judged"]
        places = {name: place for name, place in row.figures["places"].items() if name != "meta"}
        kept = {name: value for name, value in row.figures.items() if name not in ("status", "languages")}
        row.figures = {**kept, "gates": gates, "places": places}
    result = service.get(f"/v1/attribute-sets/{id}/report")
    assert (result["status"], result["languages"], gate(result, "own")["status"]) == ("holds", {}, "holds")
    assert gate(result, "margin")["status"] == "not_measured"
    answer = service.http.get(f"/v1/attribute-sets/{id}/report/meta/labels")
    assert "made before the gate meta existed" in answer.json()["detail"]


def test_labels_are_filtered_by_gate(service: Service) -> None:
    id = put(service, {**GOOD, "stork": ["a loud call"]})
    report(service, id)
    caught = service.get(f"/v1/attribute-sets/{id}/labels", gate="nonvisual")["data"]
    assert [item["label"] for item in caught] == ["stork"]
    assert service.get(f"/v1/attribute-sets/{id}/labels", gate="names")["data"] == []


@pytest.mark.slow
def test_labels_that_fail_a_gate_are_paged_in_order(service: Service) -> None:
    number = 2 * EVERY + 7
    id = put(
        service,
        {
            f"bird {at:03}": ["a loud call"] if at % 2 else [f"a crest of {at} plumes", f"{at} bars"]
            for at in range(2 * number)
        },
    )
    result = report(service, id)
    assert gate(result, "nonvisual")["num_labels"] == number
    assert len(gate(result, "nonvisual")["worst"]) == 20
    seen: list[int] = []
    after: int | None = None
    while True:
        params = {"limit": 90} if after is None else {"limit": 90, "after": after}
        page = service.get(f"/v1/attribute-sets/{id}/report/nonvisual/labels", **params)
        seen += [item["position"] for item in page["data"]]
        after = int(page["last_id"])
        if not page["has_more"]:
            break
    assert seen == [at for at in range(2 * number) if at % 2]
    odd = service.get(f"/v1/attribute-sets/{id}/report/nonvisual/labels", limit=1, after=2 * EVERY)
    assert [item["position"] for item in odd["data"]] == [2 * EVERY + 1]


def test_a_second_check_replaces_the_first(service: Service) -> None:
    id = put(service, {**GOOD, "stork": ["a loud call"]})
    first = report(service, id)
    second = report(service, id)
    assert first["gates"] == second["gates"]
    with service.db.read() as tx:
        rows = tx.execute(select(GateFailure.gate, GateFailure.position).where(GateFailure.set_id == id)).all()
    assert sorted(map(tuple, rows)) == [("nonvisual", 2), ("own", 2)]


@pytest.mark.slow
def test_a_check_with_a_teacher_measures_margins(service: Service) -> None:
    save_clip(service.data / "teacher", tiny_clip_config())
    id = put(service, GOOD)
    ref = "local-dir:teacher"
    result = report(service, id, teacher=ref)
    assert result["teacher"] == ref
    margin = gate(result, "margin")
    assert margin["holds"] is (margin["figure"] == 0)
    assert margin["judged_by"] == 'local-dir:teacher, texts "all"'
    assert margin["details"]["most_confusable"][0]["margin"] == pytest.approx(margin["details"]["least_after"])
    assert 0 < margin["details"]["mean_before"] < 2
    assert gate(result, "length")["judged_by"].startswith("local-dir:teacher, context ")
    page = service.get(f"/v1/attribute-sets/{id}/report/margin/labels", teacher=ref)
    assert len(page["data"]) == margin["num_labels"]
    names = report(service, id, teacher=ref, text="names")
    assert (gate(names, "margin")["figure"], gate(names, "margin")["holds"]) == (0, True)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"teacher": "local-dir:../x"}, "/teacher"),
        ({"teacher": "nothing"}, "/teacher"),
        ({"text": "poems"}, "/text"),
        ({"more": 1}, "/more"),
    ],
)
def test_invalid_checks_are_rejected(service: Service, body: dict[str, Any], pointer: str) -> None:
    id = put(service, GOOD)
    problem = service.rejection(f"/v1/attribute-sets/{id}/report", body)
    assert problem["errors"][0]["pointer"] == pointer


def test_a_teacher_needs_two_labels(service: Service) -> None:
    id = put(service, {"crane": OWN})
    problem = service.rejection(f"/v1/attribute-sets/{id}/report", {"teacher": "RN50:openai"})
    assert problem["code"] == "too_few_labels"


def test_the_word_list_of_the_operator(make_service: Any, tmp_path: Any) -> None:
    words = tmp_path / "words.txt"
    words.write_text("[taste]\nred\n", encoding="utf-8")
    service = make_service(nonvisual_words=words)
    id = put(service, GOOD)
    assert gate(report(service, id), "nonvisual")["judged_by"] == 'our word list and "words.txt"'
    assert not report(service, id)["holds"]
    words.write_text("[broken\n", encoding="utf-8")
    job = work(service, service.post(f"/v1/attribute-sets/{id}/report", {}, status=202))
    assert (job["status"], job["error"]["code"]) == ("failed", "words_unreadable")
    assert "line 1" in job["error"]["message"]
