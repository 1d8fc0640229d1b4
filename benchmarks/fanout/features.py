"""How teacher features scale over GPU workers.

A distill job of small pictures is created as by the API, and its encode and features parts are run by real worker
processes, each with its own cache, on one database and one artefact store. Only the teacher's forward pass is replaced:
it sleeps for `--batch-ms` per batch, so that the machine's cores are not what is measured. The time of a run is from
the start of the first features part to the end of the last one. A second job on the same images must encode nothing.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sqlalchemy import func, select

from benchmarks.measurement import Measurement

ENCODES = "encodes.log"
LABELS = tuple(f"label {number}" for number in range(8))
TARGET = 3.8


def write_images(folder: Path, count: int) -> None:
    """`count` different PNG pictures of 32 px in class folders."""
    random = np.random.default_rng(0)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
    for number in range(count):
        pixels = random.integers(0, 256, size=(32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / LABELS[number % len(LABELS)] / f"{number}.png", compress_level=0)


def prepare(home: Path, count: int) -> None:
    """The data root with images and a tiny teacher, and a migrated database with the dataset."""
    from distill.data.dataset.scan import scan
    from distill.data.splits import SPLIT
    from store import migrate, resources, vocabularies
    from store.vocabularies import NewLabel
    from tests.distill.conftest import save_clip, tiny_clip_config
    from workers.runtime.context import Context

    write_images(home / "data" / "images", count)
    save_clip(home / "data" / "teacher", tiny_clip_config())
    context = Context.open()
    migrate.upgrade(context.db)
    split = {"by": "seed", "id_fraction": 1.0, "held_out": 0.25}
    image_index = scan(home / "data" / "images", LABELS, SPLIT.validate_python(split))
    image_index.save(home / "index.jsonl")
    key = context.artefacts.put_file(home / "index.jsonl", "datasets/dst_1/manifest.jsonl").key
    with context.db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel(name) for name in LABELS])
        resources.add_dataset(
            tx,
            id="dst_1",
            vocabulary_id=vocabulary.id,
            name="images",
            path="images",
            split=split,
            counts=image_index.counts,
            digest=image_index.digest,
            manifest_key=key,
        )
    context.db.dispose()


def create_job(view: str) -> str:
    """A distill job over all images; returns its id."""
    from api.jobs import job_requests
    from api.jobs.job_requests import DistillIn
    from store.access.principals import LOCAL_PRINCIPAL
    from workers.runtime.context import Context

    context = Context.open()
    config = {"student": "test_resnet", "image_px": 32, "view": view}
    body = {"kind": "distill", "dataset_id": "dst_1", "teacher": "local-dir:teacher", "config": config}
    with context.db.write() as tx:
        job, _ = job_requests.create(tx, DistillIn.model_validate(body), context.settings, LOCAL_PRINCIPAL)
        job_id = job.id
    context.db.dispose()
    return job_id


def work(home: Path, batch_ms: float) -> None:
    """A worker process: waits for the file `go`, then runs encode and features parts until none is left."""
    from distill.teacher.teacher import Teacher
    from store.jobs import claims
    from workers.child import _claim_next
    from workers.gpu import inputs
    from workers.gpu.parts import WORK
    from workers.runtime.context import Context
    from workers.runtime.run_part import claim_part, run_claimed

    def encode_images(self: Teacher, images: torch.Tensor) -> torch.Tensor:
        with (home / ENCODES).open("a") as log:
            log.write("1\n")
        time.sleep(batch_ms / 1000)
        return images.flatten(1)[:, : self.width]

    Teacher.encode_images = encode_images  # type: ignore[method-assign]
    torch.set_num_threads(1)
    context = Context.open()
    inputs.keep_teacher(context, inputs.teacher(context, "local-dir:teacher"))  # what each process loads once
    (home / f"ready-{os.getpid()}").touch()
    while not (home / "go").exists():
        time.sleep(0.02)
    while True:
        with context.db.read() as tx:
            ready = claims.ready(tx, ["gpu"], limit=1)
        claim = claim_part(context, ready[0]) if ready else None
        if claim is None and not ready:
            return
        while claim is not None and claim.kind in ("encode", "features"):
            run_claimed(context, claim, WORK[claim.kind])
            claim = _claim_next(context, claim)
        if claim is not None:
            return  # the training, which is not measured


def run_job(home: Path, *, workers: int, batch_ms: float, view: str) -> tuple[float, int]:
    """Run the features parts of a new job by some processes. Returns their seconds, and the number of batches."""
    from store.models import Part
    from workers.runtime.context import Context

    for path in (home / "go", home / ENCODES, *home.glob("ready-*")):
        path.unlink(missing_ok=True)
    job_id = create_job(view)
    with ExitStack() as stack:
        children = []
        for _ in range(workers):
            cache = stack.enter_context(tempfile.TemporaryDirectory(dir=home))
            command = [
                sys.executable,
                "-m",
                "benchmarks.fanout",
                "work",
                "--home",
                str(home),
                "--batch-ms",
                str(batch_ms),
            ]
            environment = {**os.environ, "LIMBECK_CACHE_DIR": cache}
            children.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL))
        while len(list(home.glob("ready-*"))) < workers:
            if any(child.poll() is not None for child in children):
                raise RuntimeError("a worker ended before it started")
            time.sleep(0.05)
        (home / "go").touch()
        for child in children:
            child.wait()
    context = Context.open()
    with context.db.read() as tx:
        of_job = (Part.job_id == job_id, Part.kind == "features")
        statuses = set(tx.scalars(select(Part.status).where(*of_job)))
        assert statuses == {"succeeded"}, statuses
        start, end = tx.execute(select(func.min(Part.started_at), func.max(Part.finished_at)).where(*of_job)).one()
    context.db.dispose()
    assert start is not None
    assert end is not None
    log = home / ENCODES
    return end - start, len(log.read_text().splitlines()) if log.exists() else 0


def forget_chunks() -> None:
    """Delete the rows of all chunks, so that the next job encodes its images."""
    from sqlalchemy import delete

    from store.models import FeatureChunk
    from workers.runtime.context import Context

    context = Context.open()
    with context.db.write() as tx:
        tx.execute(delete(FeatureChunk))
    context.db.dispose()


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Options of the measurement; `chunk`: images per part."""

    workers: int
    images: int
    chunk: int
    batch_ms: float
    view: str


def measure(home: Path, sizes: Sizes) -> Iterator[Measurement]:
    """One worker, several workers, and a second job on the same images, with the service's home in `home`."""
    os.environ |= {
        "LIMBECK_HOME": str(home),
        "LIMBECK_DATA_ROOT": str(home / "data"),
        "LIMBECK_FEATURES_CHUNK": str(sizes.chunk),
    }
    prepare(home, sizes.images)
    one_s, num_batches = run_job(home, workers=1, batch_ms=sizes.batch_ms, view=sizes.view)
    forget_chunks()
    many_s, _ = run_job(home, workers=sizes.workers, batch_ms=sizes.batch_ms, view=sizes.view)
    measured = f"{one_s / many_s:.2f} × ({one_s:.1f} and {many_s:.1f} s, {num_batches} batches)"
    yield Measurement(f"{sizes.workers} workers relative to one", f"≥ {TARGET:g} ×", measured, one_s / many_s >= TARGET)
    again_s, num_again = run_job(home, workers=sizes.workers, batch_ms=sizes.batch_ms, view=sizes.view)
    yield Measurement("second job, same images", "0 batches", f"{num_again} batches, {again_s:.1f} s", num_again == 0)
