"""The neighbours part: whom each label is most easily taken for, by a teacher that reads what is said of it so far.

It makes the parts that ask what tells these apart, in the transaction that ends it.
"""

from sqlalchemy.orm import Session

from distill.hooks import PipelineHooks
from distill.teacher.teacher import TeacherError
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
from workers.runtime.context import Context
from workers.runtime.errors import JobFailed, PartFailed
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish
from workers.runtime.throughput import Rate

PAIRS_PER_PART = 1_024
_READ: tuple[TextKind, ...] = ("sentence", "phrases", "answers")


def neighbours(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part. Without it nothing can be asked of the steps after it: what it cannot do, fails the job."""
    spec = claim.job(DescribeSpec)
    rate = Rate()

    def on_progress(done: int, total: int, unit: str) -> None:
        keeper.progress(done, total, unit, rate(done))

    prompts = _texts(context, claim)
    try:
        teacher = inputs.teacher(context, spec.teacher or "")
        targets = encode_text_targets(
            teacher,
            prompts,
            cache=context.settings.cache,
            hooks=PipelineHooks(on_progress=on_progress, should_stop=keeper.should_stop),
        )
    except PartFailed as error:
        raise JobFailed(error.code, str(error)) from error
    except TeacherError as error:
        raise JobFailed(error.code, str(error)) from error
    pairs = nearest_pairs(nearest_labels(targets.features.to(inputs.device()), spec.neighbours or 0))
    parts = [
        NewPart(
            kind="contrast",
            queue="enrich",
            stage=claim.stage + 1,
            total=len(some),
            unit="pairs",
            spec=ContrastSpec(step=step, pairs=tuple(some)),
        )
        for step in claim.part(NeighboursSpec).steps
        for start in range(0, len(pairs), PAIRS_PER_PART)
        for some in (pairs[start : start + PAIRS_PER_PART],)
    ]

    def publish(tx: Session) -> PartResult:
        jobs.add_parts(tx, claim, parts)
        return PartResult()

    return publish


def _texts(context: Context, claim: Claim) -> list[tuple[str, ...]]:
    """What the teacher reads of each label: its sentence as described so far, else its phrases,
    else its answers, else its name."""
    spec = claim.job(DescribeSpec)
    prompts: list[tuple[str, ...]] = []
    for start in range(0, spec.num_labels, PAGE_SIZE):
        with context.db.read() as tx:
            labels = vocabularies.labels(tx, spec.vocabulary_id, start=start, stop=start + PAGE_SIZE)
            said = assembly.assemble_labels(tx, claim.job_id, spec, labels)
        for label, own in zip(labels, said, strict=True):
            words = LabelAttributes.of_lines(own.lines)
            kind: TextKind = next((kind for kind in _READ if not uses_name_only(kind, words)), "names")
            prompts.append(render(kind, label.name, words))
    return prompts
