"""What GPU parts start from: labels and their texts, the teacher, the dataset, and files of earlier parts."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from distill.data.image_index import ImageIndex
from distill.teacher.teacher import Teacher, TeacherError, load_teacher
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import LabelAttributes, render
from store import resources, vocabularies
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import EncodeResult
from store.jobs.specs import TextSource
from store.sets import attribute_sets, caption_sets
from workers.runtime.context import Context
from workers.runtime.errors import PartFailed


@dataclass(frozen=True)
class Texts:
    """A vocabulary as a teacher hears of it: `labels` and `prompts` by position, `attributes` as they are stored."""

    labels: list[str]
    senses: list[str | None]
    attributes: list[dict[str, Any] | None]
    said: list[LabelAttributes]
    prompts: list[tuple[str, ...]]


def texts(context: Context, spec: TextSource) -> Texts:
    """The labels of the job's vocabulary with its attribute set's entries, rendered as its text and prompt say."""
    with context.db.read() as tx:
        labels = vocabularies.labels(tx, spec.vocabulary_id)
        set_id = spec.attribute_set_id
        entries = attribute_sets.entries(tx, set_id) if set_id else [None] * len(labels)
    said = [LabelAttributes.of_lines(entry.lines) if entry else LabelAttributes() for entry in entries]
    return Texts(
        labels=[label.name for label in labels],
        senses=[label.sense for label in labels],
        attributes=[{"lines": entry.lines, "flags": entry.flags} if entry else None for entry in entries],
        said=said,
        prompts=[render(spec.text, label.name, own, spec.prompt) for label, own in zip(labels, said, strict=True)],
    )


def device() -> str:
    """Where this worker computes."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def teacher(context: Context, ref: str) -> Teacher:
    """The job's teacher, loaded; `PartFailed` where it is not to be had."""
    try:
        return load_teacher(ref, device=device(), root=context.settings.data)
    except TeacherError as error:
        raise PartFailed(error.code, str(error)) from error


@contextmanager
def scratch(context: Context) -> Iterator[Path]:
    """A folder of this attempt's own on this machine; gone afterwards."""
    context.settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="part-", dir=context.settings.cache) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Images:
    """A registered dataset: its manifest, and the folder that the manifest's paths start from."""

    dataset_id: str
    digest: str
    image_index: ImageIndex
    root: Path


def images(context: Context, dataset_id: str, folder: Path) -> Images:
    """The job's dataset as it was registered, under this machine's data root."""
    with context.db.read() as tx:
        row = resources.dataset(tx, dataset_id)
    context.artefacts.get_file(row.manifest_key, folder / "manifest.jsonl")
    image_index = ImageIndex.load(folder / "manifest.jsonl")
    root = (context.settings.data / row.path).resolve()
    if not root.is_dir():
        raise PartFailed(
            "dataset_missing", f'dataset folder "{row.path}" is not under the data root of this worker: mount it there'
        )
    return Images(row.id, row.digest, image_index, root)


def captions(context: Context, caption_set_id: str | None, folder: Path) -> Path | None:
    """The job's caption set, if it names one."""
    if caption_set_id is None:
        return None
    with context.db.read() as tx:
        row = caption_sets.get(tx, caption_set_id)
    context.artefacts.get_file(row.file_key, folder / "captions.jsonl")
    return folder / "captions.jsonl"


def targets(context: Context, claim: Claim, folder: Path) -> tuple[TextTargets, EncodeResult]:
    """The text targets that the encode part of this job made, and the result of that part."""
    with context.db.read() as tx:
        encoded = claims.result_of(tx, claim, EncodeResult)
        if encoded is None:
            raise PartFailed("no_text_targets", "the job has no encode part that succeeded")
        row = resources.text_targets(tx, encoded.text_targets_id)
    context.artefacts.get_file(row.file_key, folder / "text_targets.safetensors")
    return TextTargets.load(folder / "text_targets.safetensors"), encoded
