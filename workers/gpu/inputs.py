"""Inputs of GPU parts: labels with their texts, the teacher, the dataset, and files of earlier parts.

Also what bundles state of their inputs.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attributes.types import line_from_json
from distill.data.image_index import ImageIndex
from distill.student.model import Student
from distill.teacher.teacher import Teacher, TeacherError, load_teacher
from distill.texts.text_bank import needs_phrases
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import LabelAttributes, bank_texts, render
from store import resources, vocabularies
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import EncodeResult
from store.jobs.specs import DistillSpec, TextSource
from store.models import AttributeEntry
from store.sets import attribute_sets, caption_sets
from store.uploads.places import DatasetFolderMissing, folder_of_dataset
from workers.runtime.attempt_traces import scratch_prefix
from workers.runtime.context import Context
from workers.runtime.errors import PartError


@dataclass(frozen=True)
class JobTexts:
    """The labels of a vocabulary and their texts, by position; `prompts` are the rendered texts of each label."""

    labels: list[str]
    senses: list[str | None]
    entries: list[AttributeEntry | None]
    attributes: list[LabelAttributes]
    prompts: list[tuple[str, ...]]


def texts(context: Context, spec: TextSource) -> JobTexts:
    """The labels of the job's vocabulary, with the attributes of its attribute set, rendered by its text and prompt."""
    with context.db.read() as tx:
        labels = vocabularies.labels(tx, spec.vocabulary_id)
        set_id = spec.attribute_set_id
        entries: list[AttributeEntry | None] = attribute_sets.entries(tx, set_id) if set_id else [None for _ in labels]
    attributes = [LabelAttributes.of_lines(entry.lines) if entry else LabelAttributes() for entry in entries]
    return JobTexts(
        labels=[label.name for label in labels],
        senses=[label.sense for label in labels],
        entries=entries,
        attributes=attributes,
        prompts=[
            render(spec.text, label.name, of_label, spec.prompt)
            for label, of_label in zip(labels, attributes, strict=True)
        ],
    )


def phrases(of_job: JobTexts, spec: DistillSpec) -> list[tuple[str, ...]] | None:
    """The phrases of each label, without its name, if a loss term of the job needs them."""
    if not needs_phrases(spec.config):
        return None
    return [
        bank_texts(label, attributes, spec.prompt)
        for label, attributes in zip(of_job.labels, of_job.attributes, strict=True)
    ]


def device() -> str:
    """The torch device of this worker."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def teacher(context: Context, ref: str) -> Teacher:
    """Load the teacher, or take the one that `keep_teacher` kept. Raises PartError if it cannot be loaded."""
    kept: Teacher | None = context.kept.pop("teacher", None)
    if kept is not None and kept.ref == ref:
        return kept
    try:
        return load_teacher(ref, device=device(), root=context.settings.data)
    except TeacherError as error:
        raise PartError(error.code, str(error)) from error


def keep_teacher(context: Context, teacher: Teacher) -> None:
    """Keep a teacher in memory for the next part of the job that this process runs."""
    context.kept["teacher"] = teacher


@contextmanager
def scratch(context: Context, claim: Claim) -> Iterator[Path]:
    """A temporary folder for this attempt on the local disk."""
    context.settings.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=scratch_prefix(claim.token), dir=context.settings.cache) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class JobImages:
    """A registered dataset: its image index, and the folder to which the paths of the index are relative.

    `contents`: the file that `distill.data.dataset.trained_on.save_contents` wrote when it was registered, if it did.
    """

    dataset_id: str
    digest: str
    image_index: ImageIndex
    root: Path
    contents: Path | None = None


def images(context: Context, dataset_id: str, folder: Path) -> JobImages:
    """The dataset as it was registered, on this worker. Raises PartError without its folder."""
    with context.db.read() as tx:
        row = resources.dataset(tx, dataset_id)
    image_index = _image_index(context, row.manifest_key, folder)
    contents: Path | None = None
    if row.contents_key is not None:
        contents = folder / "contents.safetensors"
        context.artefacts.get_file(row.contents_key, contents)
    try:
        root = folder_of_dataset(context.settings, row)
    except DatasetFolderMissing as error:
        raise PartError("dataset_missing", str(error)) from None
    return JobImages(row.id, row.digest, image_index, root, contents)


def _image_index(context: Context, key: str, folder: Path) -> ImageIndex:
    """The image index, which the next part in this process takes from memory: it never changes."""
    kept_key, kept = context.kept.get("image_index", ("", None))
    if kept is None or kept_key != key:
        context.artefacts.get_file(key, folder / "manifest.jsonl")
        kept = ImageIndex.load(folder / "manifest.jsonl")
        context.kept["image_index"] = (key, kept)
    image_index: ImageIndex = kept
    return image_index


def captions(context: Context, caption_set_id: str | None, folder: Path) -> Path | None:
    """The file of the caption set; None without a caption set."""
    if caption_set_id is None:
        return None
    with context.db.read() as tx:
        row = caption_sets.get(tx, caption_set_id)
    context.artefacts.get_file(row.file_key, folder / "captions.jsonl")
    return folder / "captions.jsonl"


def targets(context: Context, claim: Claim, folder: Path) -> tuple[TextTargets, EncodeResult]:
    """The text targets of this job, and the result of the encode part that made them. Raises PartError without one."""
    with context.db.read() as tx:
        encoded = claims.result_of(tx, claim, EncodeResult)
        if encoded is None:
            raise PartError("no_text_targets", "the job has no encode part that succeeded")
        row = resources.text_targets(tx, encoded.text_targets_id)
    context.artefacts.get_file(row.file_key, folder / "text_targets.safetensors")
    return TextTargets.load(folder / "text_targets.safetensors"), encoded


def bundle_labels(context: Context, spec: DistillSpec, image_index: ImageIndex) -> list[dict[str, object]]:
    """The labels of a bundle: name, sense, part of the images, and the attributes of the attribute set."""
    of_job = texts(context, spec)
    parts = {at: "id" for at in image_index.id_labels} | {at: "ood" for at in image_index.ood_labels}
    return [
        {
            "label": label,
            "sense": of_job.senses[at],
            "part": parts.get(at),
            **_attributes_with_ids(of_job.entries[at]),
        }
        for at, label in enumerate(of_job.labels)
    ]


def _attributes_with_ids(entry: AttributeEntry | None) -> dict[str, Any]:
    """The lines and flags of a label; each line with its id in the attribute set. Empty without an entry."""
    if entry is None:
        return {}
    return {"lines": [{"id": line_from_json(line).id, **line} for line in entry.lines], "flags": entry.flags}


def provenance(
    context: Context, claim: Claim, spec: DistillSpec, student: Student, *, text_targets_id: str
) -> dict[str, Any]:
    """What the student of a distill job was made from, for the manifest of its bundle."""
    with context.db.read() as tx:
        return {
            "job": claim.job_id,
            "recipe": spec.recipe,
            **({"start": spec.start_checkpoint_id} if spec.start_checkpoint_id else {}),
            "initial_weights": student.initial,
            "config": spec.config.model_dump(mode="json"),
            **resources.source_digests(tx, spec, text_targets_id=text_targets_id),
        }
