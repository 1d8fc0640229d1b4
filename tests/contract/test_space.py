"""What a student of 20 MB leaves in the artefact store of a real service, and that its downloads are unchanged.

    python -m pytest -m nightly -s tests/contract/test_space.py

The first student also stores the text tower and the tokenizer of its teacher, which all of its students share: the
second one shows what a student leaves.
"""

import hashlib
import signal
from pathlib import Path

import httpx2
import pytest

from distill.bundle.verify import MANIFEST_FILE
from store.artefacts import Artefacts
from store.settings import Settings
from store.upkeep import sweep
from tests.contract.cluster import TEACHER, running

MAX_BYTES = 45_000_000
CONFIG = {"student": "resnet10t", "image_px": 64, "batch_size": 8, "epochs": 1, "threads": 2, "save_every_s": 1.0}


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_student_of_20_mb_leaves_at_most_45_mb(tmp_path: Path) -> None:
    with running("embedded", tmp_path, num_species=8) as cluster:
        cluster.kill("worker", signal.SIGTERM)
        cluster.env["LIMBECK_LEASE_S"] = "60"  # nothing is killed here, and a busy machine must not lose its leases
        cluster.start("worker")
        settings = Settings(home=cluster.folder, artefacts_url=cluster.env.get("LIMBECK_ARTEFACTS_URL", ""))
        artefacts = Artefacts(cluster.env.get("LIMBECK_ARTEFACTS_URL") or settings.artefacts)
        labels = [folder.name.replace("_", " ") for folder in sorted((cluster.folder / "data" / "images").iterdir())]
        vocabulary = cluster.client.vocabularies.create("creatures", labels)
        split = {"by": "seed", "seed": 1, "id_fraction": 0.5, "held_out": 0.3}
        dataset = cluster.client.datasets.create(vocabulary.id, "images", split=split)
        before = used(artefacts)
        students, added = [], []
        for seed in (0, 1):
            job = cluster.client.jobs.create(
                "distill", dataset_id=dataset.id, teacher=TEACHER, config={**CONFIG, "seed": seed}
            )
            done = cluster.client.jobs.wait(job, timeout_s=600)
            assert done.result is not None
            students.append(cluster.client.checkpoints.get(done.result["checkpoint_id"]))
            print(f"job {seed} left {(used(artefacts) - before - sum(added)) / 1e6:.1f} MB")
            assert sweep.sweep(cluster.db, artefacts, settings, "test", grace_s=-60) is not None
            added.append(used(artefacts) - before - sum(added))
            print(f"after the sweep: {added[-1] / 1e6:.1f} MB")
        weights = next(file.size for file in students[0].files if file.path == "image/model.safetensors")
        total = sum(file.size for file in students[0].files)
        of_teacher = added[0] - added[1]
        print(f"weights {weights / 1e6:.1f} MB, bundle {total / 1e6:.1f} MB; of the teacher {of_teacher / 1e6:.1f} MB")
        assert 19_000_000 < weights < 21_000_000
        assert added[1] <= MAX_BYTES
        assert added[0] < total - 2 * weights
        for student in students:
            for file in student.files:
                response = httpx2.get(cluster.url + file.url)
                assert hashlib.sha256(response.content).hexdigest() == file.sha256
                assert response.headers["etag"] == f'"{file.sha256}"'
        assert MANIFEST_FILE in {file.path for file in students[0].files}


def used(artefacts: Artefacts) -> int:
    """Bytes in the artefact store."""
    return sum(file.size for prefix in ("parts", "datasets", "imports") for file in artefacts.list_below(prefix))
