"""Jobs through HTTP: all four kinds, everything that is refused when posted, progress, partial results, cancel."""

from datetime import datetime
from typing import Any

import psycopg
import pytest

from distill.config.train_config import TrainConfig
from store import resources
from store.artefacts import StoredArtefact
from store.enrich import results
from store.enrich.results import Place
from store.jobs import claims
from store.jobs.part_results import PartResult
from store.jobs.progress import of as progress_of
from store.lifecycle import transitions
from store.models import Job, Part
from tests.api.conftest import Service
from tests.conftest import POSTGRES

TEACHER = "ViT-B-32:openai"
SHA = "ab" * 32

PLAIN = {"concept": "", "templates": ["a photo of {}"], "with_name": True}


def _parts(service: Service, job_id: str) -> list[tuple[str, str, str]]:
    with service.db.read() as tx:
        rows = tx.query(Part).filter(Part.job_id == job_id).order_by(Part.position).all()
        return [(row.kind, row.queue, row.status) for row in rows]


def _checkpoint(service: Service, dataset_id: str, vocabulary_id: str) -> str:
    job = service.post("/v1/jobs", {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER}, status=202)
    with service.db.write() as tx:
        teacher = resources.put_teacher(
            tx,
            ref="another name",
            digest=SHA,
            width=8,
            context_length=77,
            logit_scale=100.0,
            preprocess={},
            tokenizer_key="t",
        )
        targets = resources.add_text_targets(
            tx,
            vocabulary_id=vocabulary_id,
            attribute_set_id=None,
            teacher_id=teacher.id,
            job_id=job["id"],
            text="names",
            num_labels=4,
            width=8,
            report={},
            file=StoredArtefact("k", SHA, 1),
        )
        made = resources.add_checkpoint(
            tx,
            id="ckp_1",
            job_id=job["id"],
            dataset_id=dataset_id,
            vocabulary_id=vocabulary_id,
            attribute_set_id=None,
            text_targets_id=targets.id,
            teacher_id=teacher.id,
            student="resnet18",
            text="names",
            evaluation={},
            digest=SHA,
            files=[],
        )
    return made.id


def test_enrich_is_cut_into_chunks(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(10)))
    answer = service.http.post("/v1/jobs", json={"kind": "enrich", "vocabulary_id": vocabulary_id})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert set(job) == {
        "object",
        "id",
        "kind",
        "status",
        "stage",
        "created_at",
        "started_at",
        "finished_at",
        "progress",
        "stages",
        "spec",
        "spend",
        "result",
        "error",
    }
    assert (job["object"], job["kind"], job["status"], job["stage"]) == ("job", "enrich", "queued", "describe")
    assert job["progress"] == {"done": 0, "total": 10, "unit": "labels", "eta_s": None}
    assert job["spec"] == {
        "vocabulary_id": vocabulary_id,
        "num_labels": 10,
        "strategies": ["describe@1"],
        "model": "stand-in",
        "domain": "birds",
        "mend_rounds": 1,
    }
    assert (job["started_at"], job["finished_at"], job["result"], job["error"]) == (None, None, None, None)
    assert datetime.fromisoformat(job["created_at"]).utcoffset() is not None
    kinds = ["describe", "describe", "describe", "mend", "mend", "assemble", "report"]
    assert _parts(service, job["id"]) == [
        (kind, "enrich", "queued" if kind == "describe" else "waiting") for kind in kinds
    ]
    assert job["stages"] == [
        {"stage": "describe", "done": 0, "total": 10, "unit": "labels", "rate": None, "eta_s": None},
        {"stage": "mend", "done": 0, "total": 20, "unit": "labels", "rate": None, "eta_s": None},
        {"stage": "assemble", "done": 0, "total": 1, "unit": "pages", "rate": None, "eta_s": None},
        {"stage": "report", "done": 0, "total": 10, "unit": "labels", "rate": None, "eta_s": None},
    ]
    assert service.get(f"/v1/jobs/{job['id']}") == job


def test_the_gpu_kinds_make_the_parts_that_workers_know(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    set_id = service.attribute_set(vocabulary_id)
    dataset_id = service.dataset(vocabulary_id)
    encode = service.post(
        "/v1/jobs", {"kind": "encode", "attribute_set_id": set_id, "teacher": TEACHER, "text": "phrases"}, status=202
    )
    assert encode["spec"] == {
        "vocabulary_id": vocabulary_id,
        "attribute_set_id": set_id,
        "teacher": TEACHER,
        "text": "phrases",
        "prompt": PLAIN,
    }
    assert _parts(service, encode["id"]) == [("encode", "gpu", "queued")]

    body = {
        "kind": "distill",
        "dataset_id": dataset_id,
        "attribute_set_id": set_id,
        "teacher": TEACHER,
        "text": "sentence",
        "config": {"student": "resnet18", "epochs": 3, "losses": {"mse": 0}},
    }
    distill = service.post("/v1/jobs", body, status=202)
    config = TrainConfig.model_validate(distill["spec"].pop("config"))
    assert (
        config.student.architecture,
        config.schedule.epochs,
        config.objective.losses.mse,
        config.objective.losses.cls,
    ) == ("resnet18", 3, 0, 1)
    assert distill["spec"] == {
        "dataset_id": dataset_id,
        "vocabulary_id": vocabulary_id,
        "attribute_set_id": set_id,
        "teacher": TEACHER,
        "text": "sentence",
        "recipe": "limbeck",
        "prompt": PLAIN,
    }
    assert _parts(service, distill["id"]) == [
        ("encode", "gpu", "queued"),
        ("train", "gpu", "waiting"),
        ("evaluate", "gpu", "waiting"),
    ]

    evaluate = service.post("/v1/jobs", {"kind": "evaluate", "dataset_id": dataset_id, "teacher": TEACHER}, status=202)
    assert evaluate["spec"] == {
        "subject": {"teacher": TEACHER},
        "dataset_id": dataset_id,
        "vocabulary_id": vocabulary_id,
        "attribute_set_id": None,
        "teacher": TEACHER,
        "text": "names",
        "prompt": PLAIN,
    }
    assert _parts(service, evaluate["id"]) == [("encode", "gpu", "queued"), ("evaluate", "gpu", "waiting")]

    checkpoint_id = _checkpoint(service, dataset_id, vocabulary_id)
    body = {"kind": "evaluate", "dataset_id": dataset_id, "checkpoint_id": checkpoint_id}
    evaluate = service.post("/v1/jobs", body, status=202)
    assert (evaluate["spec"]["subject"], evaluate["spec"]["teacher"]) == ({"checkpoint_id": checkpoint_id}, TEACHER)


def test_a_local_teacher_must_lie_below_the_data_root(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    (service.data / "teachers" / "tiny").mkdir(parents=True)
    (service.data / "away").symlink_to("/tmp")
    body = {"kind": "encode", "vocabulary_id": vocabulary_id}
    job = service.post("/v1/jobs", {**body, "teacher": "local-dir:teachers/tiny"}, status=202)
    assert job["spec"]["teacher"] == "local-dir:teachers/tiny"
    for place in ("teachers/none", "../data/teachers/tiny", "/etc", "away", "teachers/../../x", "x\ud800"):
        answer = service.http.post(
            "/v1/jobs",
            content=f'{{"kind": "encode", "vocabulary_id": "{vocabulary_id}", "teacher": '.encode()
            + b'"local-dir:'
            + place.encode("ascii", "backslashreplace")
            + b'"}',
            headers={"Content-Type": "application/json"},
        )
        assert answer.status_code == 422, place
        assert answer.json()["errors"][0]["pointer"] == "/teacher", answer.text


def test_what_can_be_known_to_be_wrong_is_refused_at_once(service: Service, subtests: pytest.Subtests) -> None:
    vocabulary_id, other_id = service.vocabulary(), service.vocabulary("x", "y")
    set_id, other_set = service.attribute_set(vocabulary_id), service.attribute_set(other_id)
    dataset_id = service.dataset(vocabulary_id)
    distill: dict[str, Any] = {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER}
    enrich: dict[str, Any] = {"kind": "enrich", "vocabulary_id": vocabulary_id}
    encode: dict[str, Any] = {"kind": "encode", "vocabulary_id": vocabulary_id, "teacher": TEACHER}
    prove: dict[str, Any] = {
        "kind": "prove",
        "dataset_id": dataset_id,
        "attribute_set_id": set_id,
        "teacher": TEACHER,
    }
    bad: list[tuple[Any, str, str]] = [
        ({"kind": "enrich", "vocabulary_id": "voc_none"}, "vocabulary_not_found", "/vocabulary_id"),
        ({**enrich, "strategy": "describe"}, "invalid_request", "/strategy"),
        ({**enrich, "strategies": []}, "invalid_request", "/strategies"),
        ({**enrich, "strategies": ["describe", "sentense"]}, "strategy_unknown", "/strategies/1"),
        ({**enrich, "strategies": ["describe@99"]}, "strategy_unknown", "/strategies/0"),
        ({**enrich, "strategies": ["/etc/passwd.toml"]}, "strategy_unknown", "/strategies/0"),
        ({**enrich, "strategies": ["describe", "describe@1"]}, "strategy_unfit", "/strategies/1"),
        ({**enrich, "strategies": ["captions"]}, "strategy_unfit", "/strategies/0"),
        ({**enrich, "strategies": ["sentence"], "samples": 3}, "strategy_unfit", "/samples"),
        ({**enrich, "strategies": ["contrast"]}, "teacher_missing", "/teacher"),
        ({**enrich, "strategies": ["contrast"], "teacher": "ViT-B-32:opnai"}, "teacher_unknown", "/teacher"),
        ({**enrich, "neighbours": 11}, "invalid_request", "/neighbours"),
        ({**enrich, "teacher": TEACHER}, "teacher_unused", "/teacher"),
        ({**enrich, "base_set_id": "ats_0"}, "attribute_set_not_found", "/base_set_id"),
        ({**enrich, "vocabulary_id": None}, "vocabulary_missing", "/vocabulary_id"),
        ({"kind": "enrich", "dataset_id": dataset_id, "strategies": ["sentence"]}, "strategy_unfit", "/strategies/0"),
        ({"kind": "enrich", "dataset_id": "dst_0", "strategies": ["captions"]}, "dataset_not_found", "/dataset_id"),
        ({**enrich, "dataset_id": dataset_id, "strategies": ["captions"]}, "field_unused", "/vocabulary_id"),
        ({"kind": "enrich", "vocabulary_id": vocabulary_id, "model": 4}, "invalid_request", "/model"),
        ({"kind": "enrich"}, "vocabulary_missing", "/vocabulary_id"),
        ({"kind": "enrich", "vocabulary_id": vocabulary_id, "dataset_id": "x"}, "strategy_unfit", "/strategies/0"),
        ({"kind": "paint"}, "invalid_request", ""),
        ({"vocabulary_id": vocabulary_id}, "invalid_request", ""),
        ([], "invalid_request", ""),
        ({**encode, "teacher": "ViT-B-32:opnai"}, "teacher_unknown", "/teacher"),
        ({**encode, "teacher": "ViT-B32:openai"}, "teacher_unknown", "/teacher"),
        ({**encode, "teacher": "hf-hub:../x"}, "teacher_unknown", "/teacher"),
        ({**encode, "teacher": ""}, "invalid_request", "/teacher"),
        ({**encode, "text": "poem"}, "invalid_request", "/text"),
        ({**encode, "text": "phrases"}, "attribute_set_missing", "/attribute_set_id"),
        ({**encode, "prompt": {"templates": ["a photo"]}}, "invalid_request", "/prompt/templates"),
        ({**prove, "attribute_set_id": other_set}, "vocabulary_mismatch", "/attribute_set_id"),
        ({**prove, "teacher": "ViT-B-33:openai"}, "teacher_unknown", "/teacher"),
        ({**prove, "seeds": 0}, "invalid_request", "/seeds"),
        ({**encode, "text": "names", "attribute_set_id": set_id}, "attribute_set_unused", "/attribute_set_id"),
        ({**encode, "text": "phrases", "attribute_set_id": other_set}, "vocabulary_mismatch", "/attribute_set_id"),
        ({**encode, "text": "phrases", "attribute_set_id": "ats_0"}, "attribute_set_not_found", "/attribute_set_id"),
        ({"kind": "encode", "teacher": TEACHER}, "vocabulary_missing", "/vocabulary_id"),
        ({**distill, "dataset_id": "dst_none"}, "dataset_not_found", "/dataset_id"),
        ({**distill, "text": "sentence", "attribute_set_id": other_set}, "vocabulary_mismatch", "/attribute_set_id"),
        ({**distill, "recipe": "alchemy"}, "recipe_unknown", "/recipe"),
        ({**distill, "config": {"student": "resnet81"}}, "student_unknown", "/config/student"),
        ({**distill, "config": {"epochs": 0}}, "invalid_request", "/config/epochs"),
        ({**distill, "config": {"losses": {"mse": -1}}}, "invalid_request", "/config/losses/mse"),
        ({**distill, "config": {"epoch": 3}}, "invalid_request", "/config/epoch"),
        ({**distill, "config": {"augmentation": {"crop_scale": [0.5]}}}, "invalid_request",
         "/config/augmentation/crop_scale"),
        ({**distill, "config": 3}, "invalid_request", "/config"),
        ({**distill, "config": {"losses": {"im_cts": 1}}}, "invalid_request", "/config/losses/im_cts"),
        ({**distill, "config": {"shots": 5}}, "invalid_request", "/config"),
        ({**distill, "recipe": "li2023_resnet_5shot"}, "start_unfit", "/start_checkpoint_id"),
        ({**distill, "start_checkpoint_id": "ckp_0"}, "start_unfit", "/start_checkpoint_id"),
        ({**distill, "recipe": "li2023_resnet_5shot", "start_checkpoint_id": "ckp_0"}, "checkpoint_not_found",
         "/start_checkpoint_id"),
        ({"kind": "evaluate", "dataset_id": dataset_id, "teacher": TEACHER, "shots": 2}, "invalid_request", ""),
        ({"kind": "evaluate", "dataset_id": dataset_id}, "invalid_request", ""),
        ({"kind": "evaluate", "dataset_id": dataset_id, "teacher": TEACHER, "checkpoint_id": "c"},
         "invalid_request", ""),
        ({"kind": "evaluate", "dataset_id": dataset_id, "checkpoint_id": "ckp_0"}, "checkpoint_not_found",
         "/checkpoint_id"),
    ]  # fmt: skip
    for body, code, pointer in bad:
        with subtests.test(body=str(body)):
            problem = service.rejection("/v1/jobs", body)
            assert problem["code"] == code, problem
            assert problem["errors"][0]["pointer"].startswith(pointer), problem
            assert pointer or problem["errors"][0]["pointer"] == "", problem
    with service.db.read() as tx:
        assert tx.query(Job).count() == 0
    problem = service.rejection("/v1/jobs", {**distill, "config": {"student": "resnet81"}})
    assert "resnet18" in problem["detail"]
    problem = service.rejection("/v1/jobs", {**enrich, "strategies": ["sentense"]})
    assert "sentence" in problem["detail"]
    problem = service.rejection("/v1/jobs", {**encode, "teacher": "ViT-B-32:opnai"})
    assert "ViT-B-32:openai" in problem["detail"]


def test_a_model_must_be_named_somewhere(make_service: Any) -> None:
    service = make_service(llm_model="")
    vocabulary_id = service.vocabulary()
    problem = service.rejection("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id})
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("model_missing", "/model")
    job = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id, "model": "m"}, status=202)
    assert job["spec"]["model"] == "m"


def test_progress_is_that_of_the_stage(service: Service) -> None:
    dataset_id = service.dataset(service.vocabulary())
    id = service.post("/v1/jobs", {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER}, status=202)["id"]
    claim = service.claim(id)
    with service.db.write() as tx:
        transitions.finish(tx, claim, PartResult())
    claim = service.claim(id)
    with service.db.write() as tx:
        claims.record_progress(tx, claim, done=30, total=120, unit="steps", rate=9.0)
    job = service.get(f"/v1/jobs/{id}")
    assert (job["status"], job["stage"]) == ("running", "train")
    assert job["progress"] == {"done": 30, "total": 120, "unit": "steps", "eta_s": 10.0}
    assert job["started_at"] > job["created_at"]
    with service.db.write() as tx:
        transitions.fail(tx, claim, code="out_of_memory", message="the GPU is full")
    job = service.get(f"/v1/jobs/{id}")
    assert (job["status"], job["stage"], job["progress"]["eta_s"]) == ("failed", "train", None)
    assert job["error"] == {"code": "out_of_memory", "message": "the GPU is full"}
    assert job["finished_at"] > job["started_at"]


@pytest.mark.parametrize("db", ["postgres"], indirect=True)
def test_the_end_of_every_connection_is_not_noticed(service: Service) -> None:
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    with psycopg.connect(POSTGRES, autocommit=True) as admin:
        for _ in range(2):
            # What a restart of the server does, too.
            ended = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s"
            assert admin.execute(ended, [service.db.url.database]).fetchall()
            assert service.get(f"/v1/jobs/{id}")["status"] == "queued"
            service.vocabulary()


def test_the_rates_of_chunks_add_up(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(10)))
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)["id"]
    for _ in range(2):
        claim = service.claim(id)
        with service.db.write() as tx:
            claims.record_progress(tx, claim, done=1, total=4, unit="labels", rate=0.5)
    with service.db.read() as tx:
        found = progress_of(tx, [id, "job_none"])
    assert list(found) == [id]
    assert (found[id].done, found[id].total, found[id].eta_s) == (2, 10, 8.0)


def test_results_of_an_enrichment_can_be_read_while_it_runs(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(10)))
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)["id"]
    assert service.get(f"/v1/jobs/{id}/labels")["data"] == []
    service.claim(id)
    claim = service.claim(id)  # the second chunk
    line = {"kind": "phrase", "text": "a long bill", "part": "bill", "value": "long", "origin": "llm"}
    answer: Any = {
        "key": "k",
        "model": "m",
        "base_url": "",
        "strategy": "describe@1",
        "messages": [],
        "answer": "{}",
        "lines": [line],
        "other_lines": None,
        "flags": ["too_few_phrases"],
    }
    with service.db.write() as tx:
        results.record_answers(tx, [answer])
        results.record_results(tx, claim, [(Place(0, 5), "k")])
        results.record_failures(tx, claim, [(Place(0, 7), "refused", "I would rather not.")])
    found = service.get(f"/v1/jobs/{id}/labels")
    first, second = found["data"]
    assert line.items() <= first["lines"][0].items()
    assert (first["position"], first["described"], first["flags"], first["reason"]) == (
        5,
        True,
        ["too_few_phrases"],
        None,
    )
    assert second == {
        "object": "attributes",
        "position": 7,
        "label": "label 7",
        "sense": None,
        "described": False,
        "lines": [],
        "flags": [],
        "reason": "refused",
        "detail": "I would rather not.",
    }
    assert [one["position"] for one in service.get(f"/v1/jobs/{id}/labels", after=5)["data"]] == [7]
    first = service.get(f"/v1/jobs/{id}/labels", limit=1)
    assert (first["has_more"], first["last_id"]) == (True, "5")


def test_cancel_twice_and_too_late(service: Service) -> None:
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    for _ in range(2):
        answer = service.http.post(f"/v1/jobs/{id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    id = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": service.vocabulary()}, status=202)["id"]
    claim = service.claim(id)
    assert service.http.post(f"/v1/jobs/{id}/cancel").json()["status"] == "cancelling"
    with service.db.write() as tx:
        transitions.release(tx, claim)
    assert service.http.post(f"/v1/jobs/{id}/cancel").json()["status"] == "cancelled"
    assert service.http.post("/v1/jobs/job_none/cancel").status_code == 404


def test_lists_filter(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    ids = [
        service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id}, status=202)["id"],
        service.post("/v1/jobs", {"kind": "encode", "vocabulary_id": vocabulary_id, "teacher": TEACHER}, status=202)[
            "id"
        ],
    ]
    service.http.post(f"/v1/jobs/{ids[0]}/cancel")

    def listed(**where: str) -> list[str]:
        return [one["id"] for one in service.get("/v1/jobs", **where)["data"]]

    assert listed() == ids[::-1]
    assert listed(kind="enrich") == [ids[0]]
    assert listed(status="queued") == [ids[1]]
    assert listed(status="cancelled", kind="encode") == []
    for where in ({"status": "asleep"}, {"kind": "x"}, {"limit": "0"}, {"limit": "101"}, {"limit": "ten"}):
        answer = service.http.get("/v1/jobs", params=where)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["parameter"] == next(iter(where))


def test_unknown_jobs(service: Service) -> None:
    for path in ("", "/events", "/labels"):
        answer = service.http.get(f"/v1/jobs/job_none{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    job = service.post(
        "/v1/jobs", {"kind": "encode", "vocabulary_id": service.vocabulary(), "teacher": TEACHER}, status=202
    )
    assert service.http.get(f"/v1/jobs/{job['id']}/labels").json()["code"] == "no_labels"
