"""Captions: a model that sees is shown each training image of a dataset and says in a sentence what is on it.

Images are read from the data root and shown as JPEGs of at most `MOST_PX`, with the name of their label. What cannot
be read is a failure by name.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.orm import Session

from attributes.prompts.questions import ImageFile, questions_for_image
from attributes.prompts.strategy import Strategy
from attributes.types import Label
from distill.data.image_files import small_jpeg
from distill.data.image_index import ImageIndex
from distill.data.shards import read_image
from store import resources
from store.enrich import results
from store.enrich.results import Place
from store.jobs.claims import Claim
from store.jobs.part_results import CaptionsResult, PartResult
from store.jobs.specs import CaptionSpec, RangeSpec
from store.sets import caption_sets
from workers.enrich import llm_settings
from workers.enrich.batch import asking_for
from workers.enrich.questions import Ended, PlannedQuestion, Unaskable
from workers.runtime.context import Context
from workers.runtime.errors import JobFailed, Stopped
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish

MOST_PX = 512
IMAGES_AT_ONCE = 64  # what waits to be asked holds its JPEG
_ROWS_AT_ONCE = 1_000


class _Image(NamedTuple):
    path: str
    label: str


def caption(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Ask about a chunk of images."""
    spec, part = claim.job(CaptionSpec), claim.part(RangeSpec)
    start, stop = part.start, part.stop
    (strategy,) = llm_settings.strategies(context, spec)
    root, images = _images(context, spec.dataset_id)
    with context.db.read() as tx:
        ended = results.ended(tx, claim, start=start, stop=stop)
    asking = asking_for(
        context, keeper, total=stop - start, unit="images", per_unit=strategy.num_questions, window=IMAGES_AT_ONCE
    )
    asked = _questions(strategy, root, images, range(start, stop), spec.domain, ended)
    asking.through(asked, num_ended=len(ended))
    return lambda _tx: PartResult()


def _questions(
    strategy: Strategy, root: Path, images: Sequence[_Image], positions: range, domain: str, ended: Ended
) -> Iterator[PlannedQuestion | Unaskable]:
    for position in positions:
        slots = [slot for slot in range(strategy.num_questions) if (0, position, slot) not in ended]
        if not slots:
            continue
        try:
            content = read_image(root / images[position].path)
            picture = ImageFile(small_jpeg(content, max_px=MOST_PX))
        except Exception as error:  # Pillow raises whatever it likes for a damaged file
            detail = f"{type(error).__name__}: {error}"[:300]
            places = tuple(Place(0, position, slot) for slot in slots)
            yield Unaskable(images[position].path, places, "unreadable_image", detail)
            continue
        asks = questions_for_image(strategy, picture, Label(images[position].label), domain)
        sha256 = hashlib.sha256(content).hexdigest()
        for slot in slots:
            yield PlannedQuestion(asks[slot], (Place(0, position, slot, detail=sha256),), images[position].path)


def assemble(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Write all captions into a file of JSON lines, `{path, sha256, caption}` an image, and publish it as a set."""
    spec = claim.job(CaptionSpec)
    _, images = _images(context, spec.dataset_id)
    num_captioned = 0
    context.settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="part-", dir=context.settings.cache) as folder:
        draft = Path(folder) / "captions.jsonl"
        with draft.open("w", encoding="utf-8") as out:
            for start in range(0, len(images), _ROWS_AT_ONCE):
                if keeper.should_stop():
                    raise Stopped
                with context.db.read() as tx:
                    rows = caption_sets.captions(tx, claim.job_id, start=start, stop=start + _ROWS_AT_ONCE)
                for position, sha256, text in rows:
                    line = {"path": images[position].path, "sha256": sha256, "caption": text}
                    out.write(json.dumps(line, ensure_ascii=False) + "\n")
                num_captioned += len({position for position, _, _ in rows})
                keeper.progress(min(start + _ROWS_AT_ONCE, len(images)), len(images), "images")
        if not num_captioned:
            return lambda _tx: PartResult()
        file = context.artefacts.put_file(draft, f"{claim.place}/captions.jsonl")

    def publish(tx: Session) -> PartResult:
        made = caption_sets.add(
            tx,
            dataset_id=spec.dataset_id,
            job_id=claim.job_id,
            source={"job_id": claim.job_id, **spec.as_json()},
            num_images=len(images),
            num_captioned=num_captioned,
            file=file,
        )
        return CaptionsResult(caption_set_id=made.id)

    return publish


def _images(context: Context, dataset_id: str) -> tuple[Path, list[_Image]]:
    """The dataset's folder on this machine, and its training images. Raises JobFailed."""
    with context.db.read() as tx:
        row = resources.dataset(tx, dataset_id)
    root = (context.settings.data / row.path).resolve()
    if not root.is_dir():
        raise JobFailed(
            "dataset_missing", f'dataset folder "{row.path}" is not under the data root of this worker: mount it there'
        )
    context.settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="part-", dir=context.settings.cache) as folder:
        context.artefacts.get_file(row.manifest_key, Path(folder) / "manifest.jsonl")
        image_index = ImageIndex.load(Path(folder) / "manifest.jsonl")
    return root, [
        _Image(image_index.paths[at], image_index.labels[image_index.label_indices[at]])
        for at in image_index.part("train")
    ]
