"""The features part: the teacher encodes a range of the images; their features are stored as chunks.

A chunk that the artefact store has already is not encoded again. The train and evaluate parts copy the chunks of their
job into the cache of their machine (`fetch_features`) and encode what is missing themselves: a lost chunk costs time.
"""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from distill.data.atomic_files import replacing
from distill.evaluation.measured_images import image_paths
from distill.hooks import PipelineHooks
from distill.image_encoding import FeatureRows, ImageUse, UsedView, chunk_of, encode_use, teacher_uses, training_uses
from distill.teacher.teacher import Teacher
from limbeck.shared.text import counted
from store.artefacts import StoredArtefact
from store.jobs import claims, feature_chunks
from store.jobs.claims import Claim
from store.jobs.part_results import FeaturesResult
from store.jobs.specs import DistillSpec, EvaluateSpec, RangeSpec
from workers.gpu import inputs
from workers.gpu.inputs import JobImages
from workers.gpu.pipeline_hooks import pipeline_errors
from workers.runtime.context import Context
from workers.runtime.errors import Stopped
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish
from workers.runtime.throughput import Throughput

log = structlog.get_logger()
_FETCHED_AT_ONCE = 8


def features(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Run the part; its result names the chunks of its range."""
    span = claim.part(RangeSpec)
    with inputs.scratch(context, claim) as folder, pipeline_errors():
        spec = claim.job_spec
        assert isinstance(spec, DistillSpec | EvaluateSpec)
        images = inputs.images(context, spec.dataset_id, folder)
        uses = [use.within(span.start, span.stop) for use in _uses(context, claim, images)]
        uses = [use for use in uses if len(use.rows)]
        if not uses:
            return lambda _tx: FeaturesResult()
        teacher = inputs.teacher(context, spec.teacher)
        try:
            run = _RangeRun(context, claim, lease, images, teacher, folder, num_images=sum(len(u.rows) for u in uses))
            for use in uses:
                run.store(use)
        finally:
            inputs.keep_teacher(context, teacher)
    return run.publish


def _uses(context: Context, claim: Claim, images: JobImages) -> Sequence[ImageUse]:
    """The uses of all images of the job, which the next part in this process takes from memory."""
    kept_id, kept = context.kept.get("image_uses", ("", None))
    if kept is None or kept_id != claim.job_id:
        spec = claim.job_spec
        kept = (
            training_uses(spec.config, images.image_index)
            if isinstance(spec, DistillSpec)
            else teacher_uses(images.image_index)
        )
        context.kept["image_uses"] = (claim.job_id, kept)
    uses: Sequence[ImageUse] = kept
    return uses


class _RangeRun:
    """One attempt of the part, and what it has stored."""

    def __init__(
        self,
        context: Context,
        claim: Claim,
        lease: LeaseRenewal,
        images: JobImages,
        teacher: Teacher,
        folder: Path,
        *,
        num_images: int,
    ) -> None:
        self._context, self._claim, self._lease = context, claim, lease
        self._images, self._teacher, self._folder = images, teacher, folder
        self._num_images, self._num_done = num_images, 0
        self._throughput = Throughput()
        self._stored: list[tuple[str, StoredArtefact, int]] = []
        self._files: dict[str, str] = {}

    def store(self, use: ImageUse) -> None:
        """Store the chunk of a use, unless it is stored already. Raises Stopped."""
        cache = self._context.settings.cache
        paths = image_paths(self._images.image_index, use.rows.tolist(), self._images.root)
        hooks = PipelineHooks(should_stop=self._lease.should_stop)  # the training reports unusable images
        chunk = chunk_of(use, self._teacher, paths, cache=cache, hooks=hooks)
        name = f"{chunk.view}/{chunk.cache.folder.name}/{chunk.digest}"
        key = self._stored_key(chunk)
        if key is None:
            encode_use(use, self._teacher, paths, cache=cache, hooks=replace(hooks, on_progress=self._on_progress))
            key = self._upload(chunk)
        self._files[name] = key
        self._num_done += len(paths)
        self._lease.progress(self._num_done, self._num_images, "images", self._throughput(self._num_done))

    def publish(self, tx: Session) -> FeaturesResult:
        """Record the new chunks, in the transaction that ends the part."""
        for digest, file, num_rows in self._stored:
            feature_chunks.put(tx, digest, file, num_rows=num_rows)
        return FeaturesResult(files=self._files)

    def _on_progress(self, done: int, _total: int, _unit: str) -> None:
        done += self._num_done
        self._lease.progress(done, self._num_images, "images", self._throughput(done))

    def _stored_key(self, chunk: FeatureRows) -> str | None:
        with self._context.db.write() as tx:  # at once, so that no clean-up removes it
            key = feature_chunks.use(tx, chunk.digest)
        return key if key is not None and self._context.artefacts.exists(key) else None

    def _upload(self, chunk: FeatureRows) -> str:
        path = self._folder / "chunk.safetensors"
        num_rows = chunk.save(path)
        place = f"{self._claim.part_id}/{self._claim.token}"
        key = f"{feature_chunks.PREFIX}/{place}/{chunk.digest}.safetensors"
        file = self._context.artefacts.put_file(path, key)
        self._stored.append((chunk.digest, file, num_rows))
        return file.key


def fetch_features(
    context: Context, claim: Claim, lease: LeaseRenewal, *, views: Collection[UsedView] | None = None
) -> None:
    """Copy the chunks of the job, of these `views` or of all, into the cache of this machine. Raises Stopped."""
    with context.db.read() as tx:
        results = claims.results_of(tx, claim, FeaturesResult)
    missing: list[tuple[str, Path]] = []
    num_chunks = 0
    for name, key in (item for result in results for item in result.files.items()):
        view, folder, digest = name.split("/")
        if views is None or view in views:
            num_chunks += 1
            path = context.settings.cache / "image" / folder / f"{digest}.safetensors"
            if not path.exists():
                missing.append((key, path))
    if not missing:
        return

    def fetch(one: tuple[str, Path]) -> bool:
        key, path = one
        if lease.should_stop():
            return False
        try:
            with replacing(path) as draft:
                context.artefacts.get_file(key, draft)
        except OSError as error:
            log.warning("chunk_not_fetched", key=key, error=f"{type(error).__name__}: {error}"[:300])
            return False
        return True

    num_fetched = 0
    with ThreadPoolExecutor(_FETCHED_AT_ONCE, "fetch") as pool:
        for done, is_fetched in enumerate(pool.map(fetch, missing), 1):
            num_fetched += is_fetched
            lease.progress(done, len(missing), "chunks")
    if lease.should_stop():
        raise Stopped(f"{num_fetched} of {len(missing)} chunks of features read")
    lease.note(f"teacher features: {num_fetched} of {num_chunks} chunks read from the artefact store")
    if num_fetched < len(missing):
        chunks = len(missing) - num_fetched
        lacking = counted(chunks, "chunk of teacher features is", "chunks of teacher features are")
        lease.note(
            f"{lacking} missing: their images are encoded here",
            level="warning",
        )
