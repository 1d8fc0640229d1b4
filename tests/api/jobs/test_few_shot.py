"""Few-shot jobs on datasets whose unseen labels have too few images: refused when they are posted or planned."""

import json
from typing import Any

from tests.api.conftest import Service
from tests.api.jobs.test_job_requests import TEACHER, create_checkpoint
from tests.api.published import store_contents

SPLIT = {"by": "list", "id": ["crane", "heron"], "ood": ["stork", "ibis"], "held_out": 0.5}
RETRIEVAL = {"protocol": "retrieval"}


def test_a_training_with_more_shots_than_images_is_refused(service: Service) -> None:
    vocabulary_id, path = service.vocabulary(), service.images("crane", "heron", "stork")
    service.images("ibis", count=2)
    planned = {"path": path, "vocabulary_id": vocabulary_id, "split": SPLIT}
    id = service.post("/v1/datasets", planned)["id"]
    body: dict[str, Any] = {"kind": "distill", "dataset_id": id, "teacher": TEACHER}
    for config, pointer in (
        (RETRIEVAL | {"shots": 2}, "/config/shots"),
        ({"data": RETRIEVAL | {"shots": 5}}, "/config/data/shots"),
    ):
        for url in ("/v1/jobs", "/v1/jobs?dry_run=true"):
            problem = service.rejection(url, body | {"config": config})
            assert (problem["code"], problem["errors"][0]["pointer"]) == ("shots_unfit", pointer)
            assert '"ibis" has 2' in problem["detail"]
            assert '"crane"' not in problem["detail"]
    job = body | {"dataset_id": "planned", "config": RETRIEVAL | {"shots": 2}}
    problem = service.rejection("/v1/plan", {"dataset": planned, "jobs": [job]})
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("shots_unfit", "/jobs/0/config/shots")
    service.post("/v1/jobs", body | {"config": RETRIEVAL | {"shots": 1}}, status=202)


def test_an_evaluation_with_more_shots_than_images_is_refused(service: Service) -> None:
    vocabulary_id, path = service.vocabulary(), service.images("crane", "heron", "stork", "ibis")
    dataset = {"path": path, "vocabulary_id": vocabulary_id, "split": SPLIT}
    id = service.post("/v1/datasets", dataset)["id"]
    seen = {"labels": [{"label": "crane", "part": "id"}, {"label": "heron", "part": "id"}, {"label": "stork"}]}
    contents = {"targets/labels.json": json.dumps(seen).encode()}
    files = store_contents(service.db, service.artefacts, contents, place="parts/p/t")
    body = {"kind": "evaluate", "dataset_id": id, "checkpoint_id": create_checkpoint(service, id, vocabulary_id, files)}
    problem = service.rejection("/v1/jobs", body | {"shots": 4})
    assert (problem["code"], problem["errors"][0]["pointer"]) == ("shots_unfit", "/shots")
    assert '"stork" has 4, "ibis" has 4' in problem["detail"]
    service.post("/v1/jobs", body | {"shots": 3}, status=202)
    # Labels of another dataset count if the student did not see them, however the dataset is split.
    others = service.post("/v1/datasets", dataset | {"name": "other", "split": SPLIT | {"ood": [], "held_out": 0.9}})
    problem = service.rejection("/v1/jobs", body | {"dataset_id": others["id"], "shots": 1})
    assert "there are no OOD labels" in problem["detail"]
