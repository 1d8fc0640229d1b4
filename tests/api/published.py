"""A finished job with a checkpoint, text targets, a teacher and their files."""

import hashlib
import random

from store import resources
from store.artefacts import Artefacts
from store.db import Database
from store.models import Checkpoint, Job, Vocabulary
from store.sets import attribute_sets

CONTENT = random.Random(7).randbytes(3 * 2**20 + 12_345)
SHA = hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{SHA}"'
FILE = "/v1/checkpoints/ckp_1/files/image/model.safetensors"
TEXTS = "/v1/text-targets/{}/file"


def publish(db: Database, artefacts: Artefacts) -> str:
    """Create the checkpoint `ckp_1` with three files, by a job of ann; return the id of its text targets."""
    stored = artefacts.put_bytes(CONTENT, "parts/p/t/image/model.safetensors")
    card = artefacts.put_bytes(b"# A student\n", "parts/p/t/README.md")
    odd = artefacts.put_bytes(b"{}", "parts/p/t/odd")
    with db.write() as tx:
        tx.add(Vocabulary(id="voc_1", name="v", domain="", digest=SHA, num_labels=1, created_at=0.0))
        tx.add(
            Job(
                id="job_1",
                kind="distill",
                status="succeeded",
                spec={},
                tally=[],
                num_events=0,
                created_at=0.0,
                owner="ann",
            )
        )
        tx.flush()
        teacher = resources.put_teacher(
            tx,
            ref="t",
            digest=SHA,
            width=8,
            context_length=77,
            logit_scale=100.0,
            preprocess={"size": 64},
            tokenizer_key="k",
        )
        pages = attribute_sets.put_pages(tx, [None])
        attribute_set_id = attribute_sets.create(tx, vocabulary_id="voc_1", pages=pages, source={}).id
        targets = resources.add_text_targets(
            tx,
            vocabulary_id="voc_1",
            attribute_set_id=attribute_set_id,
            teacher_id=teacher.id,
            job_id="job_1",
            text="names",
            num_labels=1,
            width=8,
            report={"truncated": []},
            file=stored,
        )
        resources.add_dataset(
            tx, id="dst_1", vocabulary_id="voc_1", name="d", path="d", split={}, counts={}, digest=SHA, manifest_key="m"
        )
        resources.add_checkpoint(
            tx,
            Checkpoint(
                id="ckp_1",
                job_id="job_1",
                dataset_id="dst_1",
                vocabulary_id="voc_1",
                attribute_set_id=attribute_set_id,
                text_targets_id=targets.id,
                teacher_id=teacher.id,
                student="resnet18",
                text="names",
                evaluation={"id": {"accuracy": 0.5}},
                digest=SHA,
            ),
            files=[("image/model.safetensors", stored), ("README.md", card), ("targets/a b#ü.json", odd)],
        )
        return targets.id
