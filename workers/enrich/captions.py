"""Captions: a vision model describes each training image of a dataset in one sentence.

Images are read from the data root, decoded as for training (transparent parts on white), and sent as JPEGs of at most
`MAX_IMAGE_PX` with the name of their label. An image with several labels has a position for each of them, and the same
question with all names at each position, so that only the first one is paid for. Unlabelled images have no captions:
the loss that uses captions needs labels. An image that cannot be read is a failure of its position.
"""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.orm import Session

from attributes.prompts.questions import ImageFile, questions_for_image
from attributes.prompts.strategy import Strategy
from attributes.types import Label
from distill.data.image_files.location import read_image
from distill.data.image_index import ImageIndex
from limbeck.shared.images.decode import small_jpeg
from limbeck.shared.images.file_names import json_line, shown_path
from limbeck.shared.images.unreadable import UnreadableImage
from store import resources
from store.enrich import results
from store.enrich.results import ResultSlot
from store.jobs.claims import Claim
from store.jobs.part_results import CaptionsResult, PartResult
from store.jobs.specs import CaptionSpec, RangeSpec
from store.sets import caption_sets
from store.uploads.places import DatasetFolderMissing, folder_of_dataset
from workers.enrich import llm_settings
from workers.enrich.enrichment import create_enrichment
from workers.enrich.questions import FinishedQuestions, InvalidQuestion, PlannedQuestion
from workers.runtime.context import Context
from workers.runtime.errors import FatalJobError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish

MAX_IMAGE_PX = 512
IMAGES_PER_WINDOW = 64  # each prepared question holds its JPEG in memory
_IMAGES_PER_QUERY = 1_000


class _Image(NamedTuple):
    path: str
    label: str


def caption(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Send the questions about a chunk of images."""
    spec, part = claim.job(CaptionSpec), claim.part(RangeSpec)
    start, stop = part.start, part.stop
    (strategy,) = llm_settings.strategies(context, spec)
    root, images = _images(context, spec.dataset_id)
    with context.db.read() as tx:
        finished = results.finished_questions(tx, claim, start=start, stop=stop)
    enrichment = create_enrichment(
        context, lease, total=stop - start, unit="images", per_unit=strategy.num_questions, window=IMAGES_PER_WINDOW
    )
    questions = _questions(strategy, root, images, range(start, stop), spec.domain, finished)
    enrichment.run(questions, num_finished=len(finished))
    return lambda _tx: PartResult()


def _questions(
    strategy: Strategy,
    root: Path,
    images: Sequence[_Image],
    positions: range,
    domain: str,
    finished: FinishedQuestions,
) -> Iterator[PlannedQuestion | InvalidQuestion]:
    """The unfinished questions about the images at these positions."""
    for position in positions:
        slots = [slot for slot in range(strategy.num_questions) if (0, position, slot) not in finished]
        if not slots:
            continue
        path, label = images[position]
        try:
            content = read_image(root / path)
            image = ImageFile(small_jpeg(content, max_px=MAX_IMAGE_PX))
        except (OSError, UnreadableImage) as error:
            detail = str(error)[:300]
            failed = tuple(ResultSlot(0, position, slot) for slot in slots)
            yield InvalidQuestion(shown_path(path), failed, "unreadable_image", detail)
            continue
        questions = questions_for_image(strategy, image, Label(label), domain)
        sha256 = hashlib.sha256(content).hexdigest()
        for slot in slots:
            yield PlannedQuestion(questions[slot], (ResultSlot(0, position, slot, detail=sha256),), shown_path(path))


def assemble(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Write all captions as JSON Lines (`path`, `sha256`, `caption`), and publish the file as a caption set."""
    spec = claim.job(CaptionSpec)
    _, images = _images(context, spec.dataset_id)
    num_captioned = 0
    context.settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="part-", dir=context.settings.cache) as folder:
        path = Path(folder) / "captions.jsonl"
        with path.open("w", encoding="utf-8") as out:
            for start in range(0, len(images), _IMAGES_PER_QUERY):
                if lease.should_stop():
                    raise Stopped
                with context.db.read() as tx:
                    rows = caption_sets.captions(tx, claim.job_id, start=start, stop=start + _IMAGES_PER_QUERY)
                for position, sha256, text in rows:
                    line = {"path": images[position].path, "sha256": sha256, "caption": text}
                    out.write(json_line(line))
                num_captioned += len({position for position, _, _ in rows})
                lease.progress(min(start + _IMAGES_PER_QUERY, len(images)), len(images), "images")
        if not num_captioned:
            return lambda _tx: PartResult()
        file = context.artefacts.put_file(path, f"{claim.place}/captions.jsonl")

    def publish(tx: Session) -> PartResult:
        caption_set = caption_sets.add(
            tx,
            dataset_id=spec.dataset_id,
            job_id=claim.job_id,
            source={"job_id": claim.job_id, **spec.as_json()},
            num_images=len(images),
            num_captioned=num_captioned,
            file=file,
        )
        return CaptionsResult(caption_set_id=caption_set.id)

    return publish


def _images(context: Context, dataset_id: str) -> tuple[Path, list[_Image]]:
    """The dataset's folder on this machine, and its training images. Raises FatalJobError if the folder is missing."""
    with context.db.read() as tx:
        row = resources.dataset(tx, dataset_id)
    try:
        root = folder_of_dataset(context.settings, row)
    except DatasetFolderMissing as error:
        raise FatalJobError("dataset_missing", str(error)) from None
    context.settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="part-", dir=context.settings.cache) as folder:
        context.artefacts.get_file(row.manifest_key, Path(folder) / "manifest.jsonl")
        image_index = ImageIndex.load(Path(folder) / "manifest.jsonl")
    rows = image_index.part("train")
    names: dict[str, list[str]] = {}
    for at in rows:
        names.setdefault(image_index.paths[at], []).extend(
            map(image_index.labels.__getitem__, image_index.labels_at(at))
        )
    return root, [_Image(path, ", ".join(names[path])) for path in (image_index.paths[at] for at in rows)]
