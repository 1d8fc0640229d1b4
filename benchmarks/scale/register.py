"""The process of the API: registers a dataset and plans a job with it; prints its times and its peak memory as JSON."""

import json
import re
import sys
import time
from pathlib import Path


def main(home: Path, images: str) -> None:
    """Register the folder `samples` below the data root `home`; `images` is the field of the request, as JSON."""
    from starlette.testclient import TestClient

    from api.app import create_app
    from benchmarks.scale.samples import labels
    from store import migrate
    from store.db import Database
    from store.settings import Settings

    settings = Settings(
        home=home / "home", database_url="", redis_url="", data_root=home, artefacts_url="", host="127.0.0.1"
    )
    db = Database(settings.database)
    migrate.upgrade(db)
    started_at = time.perf_counter(), time.process_time()
    with TestClient(create_app(settings, db), base_url="http://localhost") as http:
        body = {"name": "v", "labels": [{"name": label} for label in labels()]}
        vocabulary = http.post("/v1/vocabularies", json=body).json()["id"]
        asked = {"path": "samples", "vocabulary_id": vocabulary, "check": "names", "images": json.loads(images)}
        created = http.post("/v1/datasets", json=asked)
        assert created.is_success, created.text
        registered_at = time.perf_counter()
        job = {
            "kind": "distill",
            "dataset_id": created.json()["id"],
            "teacher": "ViT-B-32:openai",
            "config": {"student": "test_resnet", "image_px": 32},
        }
        planned = http.post("/v1/jobs", params={"dry_run": True}, json=job)
        assert planned.is_success, planned.text
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    measured = {
        "counts": created.json()["counts"],
        "register_s": registered_at - started_at[0],
        "plan_s": time.perf_counter() - registered_at,
        "cpu_s": time.process_time() - started_at[1],
        "peak_mb": int(peak[1]) / 1000 * 1.024 if peak else None,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
