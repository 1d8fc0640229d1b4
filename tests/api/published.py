"""A finished job with a checkpoint, text targets, a teacher and their files."""

import hashlib
import random
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from store import resources
from store.artefacts import Artefacts
from store.blobs.writing import StoredFiles, store_files
from store.db import Database
from store.models import Checkpoint, Job, Vocabulary
from store.sets import attribute_sets

CONTENT = random.Random(7).randbytes(3 * 2**20 + 12_345)
SHA = hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{SHA}"'
FILE = "/v1/checkpoints/ckp_1/files/image/model.safetensors"
TEXTS = "/v1/text-targets/{}/file"


BUNDLE = {"image/model.safetensors": CONTENT, "README.md": b"# A student\n", "targets/a b#ü.json": b"{}"}


def store_contents(db: Database, artefacts: Artefacts, contents: Mapping[str, bytes], *, place: str) -> StoredFiles:
    """Store files of a bundle, by their paths."""
    with TemporaryDirectory() as folder:
        files = []
        for number, (path, content) in enumerate(contents.items()):
            source = Path(folder, f"{number}{Path(path).suffix.replace('.safetensors', '.bin')}")
            source.write_bytes(content)
            files.append((path, source))
        return store_files(db, artefacts, files, place=place)


def publish(db: Database, artefacts: Artefacts) -> str:
    """Create the checkpoint `ckp_1` with three files, by a job of ann; return the id of its text targets."""
    targets_file = artefacts.put_bytes(CONTENT, "parts/p/t/text_targets.safetensors")
    files = store_contents(db, artefacts, BUNDLE, place="parts/p/t")
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
            file=targets_file,
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
            files=files,
        )
        return targets.id
