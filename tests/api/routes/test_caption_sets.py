"""Caption sets: list, get and download."""

import json

from store.models import Job
from store.sets import caption_sets
from tests.api.conftest import Service


def test_list_get_and_download(service: Service) -> None:
    dataset_id = service.dataset(service.vocabulary())
    content = json.dumps({"path": "crane/0.jpg", "sha256": "00", "caption": "A crane."}).encode() + b"\n"
    file = service.artefacts.put_bytes(content, "captions/captions.jsonl")
    with service.db.write() as tx:
        tx.add(Job(id="job_1", kind="enrich", status="succeeded", spec={}, tally=[], num_events=0, created_at=0.0))
        tx.flush()
        id = caption_sets.add(
            tx,
            dataset_id=dataset_id,
            job_id="job_1",
            source={"job_id": "job_1"},
            num_images=2,
            num_captioned=1,
            file=file,
        ).id
    (row,) = service.get("/v1/caption-sets", dataset_id=dataset_id)["data"]
    assert row == service.get(f"/v1/caption-sets/{id}")
    assert (row["object"], row["num_images"], row["num_captioned"], row["size"]) == ("caption_set", 2, 1, len(content))
    response = service.http.get(f"/v1/caption-sets/{id}/file")
    assert (response.content, response.headers["etag"]) == (content, f'"{file.sha256}"')
    assert service.get("/v1/caption-sets", dataset_id="dst_none")["data"] == []
    response = service.http.get("/v1/caption-sets/cap_none")
    assert (response.status_code, response.json()["code"]) == (404, "caption_set_not_found")
