"""Job requests: the parts and specs of each kind of job, and invalid requests."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from distill.config.loss_registry import LOSS_TERMS
from distill.config.train_config import TrainConfig
from store import resources
from store.artefacts import StoredArtefact
from store.blobs.writing import StoredFiles
from store.models import Checkpoint, Job, Part
from tests.api.conftest import Service

TEACHER = "ViT-B-32:openai"

SHA = "ab" * 32

PLAIN = {"concept": "", "templates": ["a photo of {}"], "with_name": True}


def parts_of(service: Service, job_id: str) -> list[tuple[str, str, str]]:
    with service.db.read() as tx:
        rows = tx.query(Part).filter(Part.job_id == job_id).order_by(Part.position).all()
        return [(row.kind, row.queue, row.status) for row in rows]


def create_checkpoint(service: Service, dataset_id: str, vocabulary_id: str, files: StoredFiles | None = None) -> str:
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
        checkpoint = resources.add_checkpoint(
            tx,
            Checkpoint(
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
            ),
            files=files or StoredFiles((), ()),
        )
    return checkpoint.id


def test_enrich_jobs_are_split_into_chunks(service: Service) -> None:
    vocabulary_id = service.vocabulary(*(f"label {n}" for n in range(10)))
    response = service.http.post("/v1/jobs", json={"kind": "enrich", "vocabulary_id": vocabulary_id})
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
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
        "waiting_for",
        "owner",
        "priority",
        "queue",
        "spec",
        "spend",
        "result",
        "error",
        "reused",
    }
    assert (job["object"], job["kind"], job["status"], job["stage"]) == ("job", "enrich", "queued", "describe")
    attributes = {"name": "attributes", "done": 0, "total": 10, "unit": "labels", "rate": None, "eta_s": None}
    assert job["progress"] == attributes
    assert job["spec"] == {
        "vocabulary_id": vocabulary_id,
        "num_labels": 10,
        "domain": "birds",
        "strategies": ["describe@1"],
        "model": "stand-in",
        "mend_rounds": 1,
    }
    assert (job["started_at"], job["finished_at"], job["result"], job["error"]) == (None, None, None, None)
    assert datetime.fromisoformat(job["created_at"]).utcoffset() is not None
    kinds = ["describe", "describe", "describe", "mend", "mend", "assemble", "report"]
    assert parts_of(service, job["id"]) == [
        (kind, "enrich", "queued" if kind == "describe" else "waiting") for kind in kinds
    ]
    assert job["waiting_for"] == "no enrich worker is running"
    assert job["queue"] == {"name": "enrich", "ahead": 0, "running": 0, "workers": 0, "retry_in_s": None}
    assert job["stages"] == [
        {"stage": "describe", **attributes},
        {"stage": "mend", "name": "repair plan", "done": 0, "total": 20, "unit": "labels", "rate": None, "eta_s": None},
        {"stage": "assemble", "name": "assembly", "done": 0, "total": 1, "unit": "pages", "rate": None, "eta_s": None},
        {"stage": "report", "name": "report", "done": 0, "total": 10, "unit": "labels", "rate": None, "eta_s": None},
    ]
    assert service.get(f"/v1/jobs/{job['id']}") | {"reused": False} == job


def test_gpu_jobs_have_the_parts_that_workers_execute(service: Service) -> None:
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
    assert parts_of(service, encode["id"]) == [("encode", "gpu", "queued")]

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
    assert parts_of(service, distill["id"]) == [
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
    assert parts_of(service, evaluate["id"]) == [("encode", "gpu", "queued"), ("evaluate", "gpu", "waiting")]

    checkpoint_id = create_checkpoint(service, dataset_id, vocabulary_id)
    body = {"kind": "evaluate", "dataset_id": dataset_id, "checkpoint_id": checkpoint_id}
    evaluate = service.post("/v1/jobs", body, status=202)
    assert (evaluate["spec"]["subject"], evaluate["spec"]["teacher"]) == ({"checkpoint_id": checkpoint_id}, TEACHER)


@pytest.mark.image_input(
    "Splits and evaluation",
    "a dataset with unlabelled images, and only losses that need labels",
    "the job is refused when it is posted",
)
def test_unlabelled_images_that_no_loss_uses_are_refused(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    folders = {"path": service.images("crane", "heron"), "unlabelled": [service.images("street", at="extra")]}
    dataset_id = service.post("/v1/datasets", {"vocabulary_id": vocabulary_id, "check": "names", **folders})["id"]
    body = {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER}
    problem = service.rejection("/v1/jobs", {**body, "config": {"losses": {"mse": 0, "im_cst": 0}}})
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("unlabelled_unused", "/config")
    assert "give one of mse, im_cst" in problem["detail"]
    service.post("/v1/jobs", body, status=202)


def test_a_training_with_ranks_is_for_a_worker_with_as_many_gpus(service: Service) -> None:
    folders = {"path": service.images("crane", "heron", at="few")}
    body = {"vocabulary_id": service.vocabulary(), "check": "names", "split": {"by": "all"}, **folders}
    dataset_id = service.post("/v1/datasets", body)["id"]
    distill = {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER}
    num_gpus = []
    for fields in ({}, {"nproc": 2}, {"nproc": 2, "config": {"device": "cpu"}}):
        job = service.post("/v1/jobs", {**distill, **fields}, status=202)
        assert job["spec"].get("nproc", 1) == fields.get("nproc", 1)
        assert ("nproc" in job["spec"]) is ("nproc" in fields)
        with service.db.read() as tx:
            rows = tx.query(Part).filter(Part.job_id == job["id"]).order_by(Part.position).all()
            num_gpus.append([row.num_gpus for row in rows])
    assert num_gpus == [[0, 1, 0], [0, 2, 0], [0, 0, 0]]
    job = service.post("/v1/jobs", {**distill, "nproc": 2, "nnodes": 2}, status=202)
    with service.db.read() as tx:
        rows = tx.query(Part).filter(Part.job_id == job["id"]).order_by(Part.position).all()
    assert [(row.kind, row.stage, row.num_gpus) for row in rows][1:3] == [("train", 1, 2), ("train_node", 1, 2)]


def test_invalid_requests_are_rejected(service: Service, subtests: pytest.Subtests) -> None:
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
    no_losses = dict.fromkeys(LOSS_TERMS, 0)
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
        ({**distill, "config": {"student": "resnet18.a1_in1"}}, "student_unknown", "/config/student"),
        (
            {**distill, "config": {"student": "resnet50_mlp", "pretrained": True}},
            "student_not_pretrained",
            "/config/student",
        ),
        ({**distill, "config": {"weights": "../own.pth"}}, "outside_root", "/config/weights"),
        ({**distill, "config": {"weights": "/etc/passwd"}}, "outside_root", "/config/weights"),
        ({**distill, "config": {"student": {"weights": "nowhere.pth"}}}, "no_such_file", "/config/student/weights"),
        ({**distill, "config": {"weights": "x" * 300}}, "no_such_folder", "/config/weights"),
        ({**distill, "teacher": "local-dir:" + "x" * 300}, "no_such_folder", "/teacher"),
        ({**distill, "config": {"weights": "images", "pretrained": True}}, "invalid_request", "/config"),
        ({**distill, "config": {"model_args": {"in_chans": 1}}}, "invalid_request", "/config/model_args"),
        ({**distill, "config": {"model_args": {"depth": [1]}}}, "invalid_request", "/config/model_args/depth"),
        ({**distill, "config": {"image_px": [64, 8]}}, "invalid_request", "/config/image_px"),
        ({**distill, "config": {"in_chans": 4}}, "invalid_request", "/config/in_chans"),
        ({**distill, "config": {"sampling": "fair"}}, "invalid_request", "/config/sampling"),
        ({**distill, "config": {"epochs": 0}}, "invalid_request", "/config/epochs"),
        ({**distill, "config": {"losses": {"mse": -1}}}, "invalid_request", "/config/losses/mse"),
        ({**distill, "config": {"epoch": 3}}, "invalid_request", "/config/epoch"),
        (
            {**distill, "config": {"augmentation": {"crop_scale": [0.5]}}},
            "invalid_request",
            "/config/augmentation/crop_scale",
        ),
        ({**distill, "config": 3}, "invalid_request", "/config"),
        ({**distill, "config": {"losses": {"im_cts": 1}}}, "invalid_request", "/config/losses/im_cts"),
        ({**distill, "config": {"shots": 5}}, "invalid_request", "/config"),
        ({**distill, "config": {"losses": no_losses}}, "invalid_request", "/config/losses"),
        ({**distill, "config": {"objective": {"losses": no_losses}}}, "invalid_request", "/config/objective/losses"),
        ({**distill, "nproc": 0}, "invalid_request", "/nproc"),
        ({**distill, "nproc": 65}, "invalid_request", "/nproc"),
        ({**distill, "nproc": 3, "recipe": "limbeck-small"}, "ranks_unfit", "/nproc"),  # batch_size is no multiple
        ({**distill, "nproc": 2, "config": {"batch_size": 6, "accumulate": 2}}, "ranks_unfit", "/nproc"),
        ({**distill, "nproc": 64}, "ranks_unfit", "/nproc"),  # too few images
        ({**distill, "nnodes": 0}, "invalid_request", "/nnodes"),
        ({**distill, "nnodes": 65}, "invalid_request", "/nnodes"),
        ({**distill, "nnodes": 3, "recipe": "limbeck-small"}, "ranks_unfit", "/nnodes"),
        ({**distill, "nproc": 2, "nnodes": 32}, "ranks_unfit", "/nproc"),
        ({**distill, "recipe": "li2023_resnet_5shot"}, "start_unfit", "/start_checkpoint_id"),
        ({**distill, "start_checkpoint_id": "ckp_0"}, "start_unfit", "/start_checkpoint_id"),
        (
            {**distill, "recipe": "li2023_resnet_5shot", "start_checkpoint_id": "ckp_0"},
            "checkpoint_not_found",
            "/start_checkpoint_id",
        ),
        ({"kind": "evaluate", "dataset_id": dataset_id, "teacher": TEACHER, "shots": 2}, "invalid_request", ""),
        ({"kind": "evaluate", "dataset_id": dataset_id}, "invalid_request", ""),
        (
            {"kind": "evaluate", "dataset_id": dataset_id, "checkpoint_id": "ckp_0"},
            "checkpoint_not_found",
            "/checkpoint_id",
        ),
        (
            {"kind": "evaluate", "dataset_id": dataset_id, "teacher": TEACHER, "corruption_images": 9},
            "invalid_request",
            "",
        ),
    ]
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


def test_a_model_is_required(make_service: Any) -> None:
    service = make_service(llm_model="")
    vocabulary_id = service.vocabulary()
    problem = service.rejection("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id})
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("model_missing", "/model")
    job = service.post("/v1/jobs", {"kind": "enrich", "vocabulary_id": vocabulary_id, "model": "m"}, status=202)
    assert job["spec"]["model"] == "m"


def test_a_dry_run_stores_no_job(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    body = {"kind": "enrich", "vocabulary_id": vocabulary_id}
    checked = service.post("/v1/jobs?dry_run=true", body, status=200)
    assert (checked["object"], checked["estimate"]["calls"], checked["same_job_id"]) == ("job_check", 4, None)
    assert service.get("/v1/jobs")["data"] == []
    id = service.post("/v1/jobs", body, status=202)["id"]
    assert service.post("/v1/jobs?dry_run=true", body, status=200)["same_job_id"] == id


def test_a_dry_run_of_a_training_says_what_it_will_do(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    dataset_id = service.dataset(vocabulary_id)
    counts = service.get(f"/v1/datasets/{dataset_id}")["counts"]
    body = {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER, "config": {"epochs": 2, "view": "live"}}
    training = service.post("/v1/jobs?dry_run=true", body, status=200)["training"]
    assert training["total_steps"] == 2 * training["steps_per_epoch"]
    assert training["teacher_live"] == training["images_seen"] == training["total_steps"] * training["batch_size"]
    assert training["measured"] == counts["held_out"] + counts["ood"]
    assert (training["origins"]["epochs"], training["origins"]["warmup"]) == ("given", "recipe limbeck")
    assert training["origins"]["lr"] == "kind and start of the student, and batch size"
    assert training["settings"]["epochs"] == 2
    encode = {"kind": "encode", "vocabulary_id": vocabulary_id, "teacher": TEACHER}
    assert service.post("/v1/jobs?dry_run=true", encode, status=200)["training"] is None


def test_a_job_with_the_same_inputs_is_reused_on_request(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    body = {"kind": "encode", "vocabulary_id": vocabulary_id, "teacher": TEACHER}
    first = service.post("/v1/jobs?reuse=true", body, status=202)
    assert first["reused"] is False
    assert service.post("/v1/jobs", body, status=202)["id"] != first["id"]  # only on request
    newest = service.post("/v1/jobs?reuse=true", body, status=200)
    assert newest["reused"] is True
    other = body | {"prompt": {"concept": "bird"}}
    assert service.post("/v1/jobs?reuse=true", other, status=202)["reused"] is False
    with service.db.write() as tx:
        for job in tx.query(Job):
            job.status = "failed"
    assert service.post("/v1/jobs?reuse=true", body, status=202)["reused"] is False


def test_a_succeeded_job_is_reused_while_its_results_exist(service: Service) -> None:
    body = {"kind": "enrich", "vocabulary_id": service.vocabulary()}
    job = service.post("/v1/jobs", body, status=202)
    set_id = service.attribute_set(body["vocabulary_id"])
    for made, is_reused in ((set_id, True), ("ats_deleted", False)):
        with service.db.write() as tx:
            row = tx.get_one(Job, job["id"])
            row.status, row.result = "succeeded", {"attribute_set_id": made}
        assert (service.post("/v1/jobs?reuse=true", body, status=202)["id"] == job["id"]) is is_reused


def test_simultaneous_requests_that_may_reuse_create_one_job(service: Service) -> None:
    body = {"kind": "encode", "vocabulary_id": service.vocabulary(), "teacher": TEACHER}
    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: service.post("/v1/jobs?reuse=true", body, status=202), range(8)))
    assert len({job["id"] for job in jobs}) == 1


def test_changed_weights_of_a_teacher_are_other_inputs(service: Service) -> None:
    (service.data / "teacher").mkdir()
    weights = service.data / "teacher" / "open_clip_model.safetensors"
    weights.write_bytes(b"1")
    body = {"kind": "encode", "vocabulary_id": service.vocabulary(), "teacher": "local-dir:teacher"}
    first = service.post("/v1/jobs?reuse=true", body, status=202)["id"]
    assert service.post("/v1/jobs?reuse=true", body, status=202)["id"] == first
    weights.write_bytes(b"22")
    assert service.post("/v1/jobs?reuse=true", body, status=202)["id"] != first


def test_the_teacher_of_a_checkpoint_encodes_and_another_one_is_refused(service: Service) -> None:
    vocabulary_id = service.vocabulary()
    dataset_id = service.dataset(vocabulary_id)
    checkpoint_id = create_checkpoint(service, dataset_id, vocabulary_id)
    encode = {"kind": "encode", "vocabulary_id": service.vocabulary("auk", "loon"), "checkpoint_id": checkpoint_id}
    assert service.post("/v1/jobs", encode, status=202)["spec"]["teacher"] == TEACHER
    evaluate = {"kind": "evaluate", "dataset_id": dataset_id, "checkpoint_id": checkpoint_id}
    assert service.post("/v1/jobs", evaluate | {"teacher": TEACHER}, status=202)["spec"]["teacher"] == TEACHER
    for body in (encode, evaluate):
        problem = service.rejection("/v1/jobs", body | {"teacher": "ViT-B-16:openai"})
        assert (problem["code"], problem["errors"][0]["pointer"]) == ("teacher_mismatch", "/teacher")
    # Another name of the same weights.
    same = service.post("/v1/jobs", encode | {"teacher": "another name"}, status=422)
    assert same["code"] == "teacher_unknown"


def test_further_sets_of_an_evaluation_are_checked(service: Service, subtests: pytest.Subtests) -> None:
    vocabulary_id = service.vocabulary()
    dataset_id = service.dataset(vocabulary_id)
    checkpoint_id = create_checkpoint(service, dataset_id, vocabulary_id)
    distilled = service.post("/v1/jobs", {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER}, status=202)
    closed = {"config": {"data": {"protocol": "closed_set"}}}
    baseline = {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER, **closed}
    baseline_id = service.post("/v1/jobs", baseline, status=202)["id"]
    evaluate = {"kind": "evaluate", "dataset_id": dataset_id, "checkpoint_id": checkpoint_id}
    bad: list[tuple[dict[str, object], str, str]] = [
        ({"domain_dataset_ids": ["dst_0"]}, "dataset_not_found", "/domain_dataset_ids/0"),
        ({"domain_dataset_ids": [dataset_id]}, "domain_twice", "/domain_dataset_ids/0"),
        ({"domain_dataset_ids": ["dst_0"] * 21}, "invalid_request", "/domain_dataset_ids"),
        ({"far_dataset_id": "dst_0"}, "dataset_not_found", "/far_dataset_id"),
        ({"baseline_job_id": baseline_id}, "invalid_request", ""),  # without corruptions
        ({"corruption_images": 5, "baseline_job_id": "job_0"}, "job_not_found", "/baseline_job_id"),
        ({"corruption_images": 5, "baseline_job_id": distilled["id"]}, "baseline_unfit", "/baseline_job_id"),
        ({"corruption_images": 5, "baseline_job_id": baseline_id}, "baseline_unfit", "/baseline_job_id"),  # queued
        ({"outlier_set_id": "ats_0"}, "attribute_set_not_found", "/outlier_set_id"),
    ]
    for fields, code, pointer in bad:
        with subtests.test(body=str(fields)):
            problem = service.rejection("/v1/jobs", evaluate | fields)
            assert (problem["code"], problem["errors"][0]["pointer"]) == (code, pointer), problem
    with service.db.write() as tx:
        tx.get_one(Job, baseline_id).status = "succeeded"
    given = {"corruption_images": 5, "baseline_job_id": baseline_id, "far_dataset_id": dataset_id}
    spec = service.post("/v1/jobs", evaluate | given, status=202)["spec"]
    assert {name: spec[name] for name in given} == given
    # What is not asked for is not stored.
    assert {"domain_dataset_ids", "outlier_set_id"}.isdisjoint(spec)
    # Another split: images that the checkpoint is measured on can be those that the baseline was trained on.
    split = {"by": "seed", "seed": 1, "id_fraction": 1}
    dataset = {"path": "images", "vocabulary_id": vocabulary_id, "split": split}
    other_id = service.post("/v1/datasets", dataset)["id"]
    other = service.post("/v1/jobs", baseline | {"dataset_id": other_id}, status=202)
    with service.db.write() as tx:
        tx.get_one(Job, other["id"]).status = "succeeded"
    problem = service.rejection("/v1/jobs", evaluate | given | {"baseline_job_id": other["id"]})
    assert problem["code"] == "baseline_unfit"
    assert "name a baseline of the same images and split" in problem["errors"][0]["detail"]


def test_the_loss_cap_needs_captions(service: Service) -> None:
    dataset_id = service.dataset(service.vocabulary())
    body = {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER, "config": {"losses": {"cap": 1}}}
    problem = service.rejection("/v1/jobs", body)
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("captions_missing", "/caption_set_id")
    (service.data / "images" / "crane" / "0.txt").write_text("a tall bird")
    assert service.post("/v1/jobs", body, status=202)["spec"]["config"]["objective"]["losses"]["cap"] == 1


def test_the_loss_phrase_kl_needs_an_attribute_set(service: Service) -> None:
    dataset_id = service.dataset(service.vocabulary())
    body = {"kind": "distill", "dataset_id": dataset_id, "teacher": TEACHER, "config": {"losses": {"phrase_kl": 1}}}
    problem = service.rejection("/v1/jobs", body)
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("phrases_missing", "/attribute_set_id")
