"""The neighbours part: finds the confusable labels of each label, by the text features of a teacher.

In the transaction that ends it, it adds the parts that ask the LLM what distinguishes the labels of each pair.
"""

from sqlalchemy.orm import Session

from distill.texts.nearest_labels import nearest_labels, nearest_pairs
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import LabelAttributes, TextKind, render, uses_name_only
from store import vocabularies
from store.enrich import assembly
from store.jobs import jobs
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.specs import ContrastSpec, DescribeSpec, NeighboursSpec
from store.sets.attribute_sets import PAGE_SIZE
from workers.gpu import inputs
from workers.gpu.pipeline_hooks import pipeline_errors, pipeline_hooks
from workers.runtime.context import Context
from workers.runtime.errors import FatalJobError, PartError
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish

PAIRS_PER_PART = 1_024
_PREFERRED_TEXTS: tuple[TextKind, ...] = ("sentence", "phrases", "answers")


def neighbours(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Run the part. The later parts need its pairs: if it fails, the job fails. Raises FatalJobError."""
    spec = claim.job(DescribeSpec)
    prompts = _prompts(context, claim)
    try:
        with pipeline_errors():
            teacher = inputs.teacher(context, spec.teacher or "")
            targets = encode_text_targets(teacher, prompts, cache=context.settings.cache, hooks=pipeline_hooks(lease))
    except PartError as error:
        raise FatalJobError(error.code, str(error)) from error
    pairs = nearest_pairs(nearest_labels(targets.features.to(inputs.device()), spec.neighbours or 0))
    parts = [
        NewPart(
            kind="contrast",
            queue="enrich",
            stage=claim.stage + 1,
            total=len(chunk),
            unit="pairs",
            spec=ContrastSpec(step=step, pairs=tuple(chunk)),
        )
        for step in claim.part(NeighboursSpec).steps
        for start in range(0, len(pairs), PAIRS_PER_PART)
        for chunk in (pairs[start : start + PAIRS_PER_PART],)
    ]

    def publish(tx: Session) -> PartResult:
        jobs.add_parts(tx, claim, parts)
        return PartResult()

    return publish


def _prompts(context: Context, claim: Claim) -> list[tuple[str, ...]]:
    """The texts of each label for the teacher: its sentence, else its phrases, else its answers, else its name."""
    spec = claim.job(DescribeSpec)
    prompts: list[tuple[str, ...]] = []
    for start in range(0, spec.num_labels, PAGE_SIZE):
        with context.db.read() as tx:
            labels = vocabularies.labels(tx, spec.vocabulary_id, start=start, stop=start + PAGE_SIZE)
            described = assembly.assemble_labels(tx, claim.job_id, spec, labels)
        for label, entry in zip(labels, described, strict=True):
            attributes = LabelAttributes.of_lines(entry.lines)
            kind: TextKind = next((kind for kind in _PREFERRED_TEXTS if not uses_name_only(kind, attributes)), "names")
            prompts.append(render(kind, label.name, attributes))
    return prompts
