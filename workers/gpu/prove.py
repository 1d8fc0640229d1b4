"""The prove part: measures the benefit of an attribute set for a teacher, against controls without information.

The result holds the proof. On request, phrases that training images contradict are filtered: the part then publishes a
derived set without them, unless the filter lowers held-out accuracy.
"""

from sqlalchemy.orm import Session

from distill.benefit.phrase_filter import PhraseFilterResult
from distill.benefit.run import measure_benefit
from distill.pipeline import NoImages
from distill.teacher.teacher import TeacherError
from distill.texts.text_templates import LabelAttributes, render
from store.access.principals import owner_of_job
from store.jobs.claims import Claim
from store.jobs.part_results import ProveResult
from store.jobs.specs import ProveSpec
from store.json_types import LineJSON
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from workers.gpu import inputs
from workers.gpu.pipeline_hooks import pipeline_hooks
from workers.runtime.context import Context
from workers.runtime.errors import PartError
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish


def prove(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Run the part; its result holds the proof and the filtered set, if one is published."""
    spec = claim.job(ProveSpec)
    with inputs.scratch(context, claim) as folder:
        images = inputs.images(context, spec.dataset_id, folder)
        with context.db.read() as tx:
            entries = attribute_sets.entries(tx, spec.attribute_set_id)
        attributes = [LabelAttributes.of_lines(entry.lines) if entry else LabelAttributes() for entry in entries]
        hooks = pipeline_hooks(lease)
        try:
            proof = measure_benefit(
                inputs.teacher(context, spec.teacher),
                images.image_index,
                attributes,
                cache=context.settings.cache,
                concept=spec.concept,
                seeds=range(spec.seeds),
                filter_phrases=spec.filter_phrases,
                root=images.root,
                hooks=hooks,
            )
        except TeacherError as error:
            raise PartError(error.code, str(error)) from error
        except NoImages as error:
            raise PartError("no_usable_images", str(error)) from error
        except ValueError as error:
            raise PartError("nothing_to_prove", str(error)) from error
    if proof.filtered is not None and proof.filtered.refused:
        lease.note(f"no phrase is removed: {proof.filtered.refused}", level="warning")

    def publish(tx: Session) -> ProveResult:
        filtered_id = None
        if proof.filtered is not None and proof.filtered.dropped:
            filtered_id = _derive_filtered_set(tx, spec, images.image_index.labels, proof.filtered, job_id=claim.job_id)
        return ProveResult(
            proof=proof.as_json(),
            num_bad_images=len(hooks.bad_images),
            attribute_set_id=filtered_id,
        )

    return publish


def _derive_filtered_set(
    tx: Session, spec: ProveSpec, labels: tuple[str, ...], filtered: PhraseFilterResult, *, job_id: str
) -> str:
    """Publish a set without the dropped phrases; lines that a person wrote or locked are kept. Returns its id."""
    parent = attribute_sets.get(tx, spec.attribute_set_id)
    entries = attribute_sets.entries_at(tx, parent.id, sorted(filtered.dropped))
    changed: dict[int, EntryContent | None] = {}
    for position, entry in entries.items():
        dropped = set(filtered.dropped[position])
        lines = [line for line in entry.lines if not _is_dropped(line, labels[position], dropped)]
        content = EntryContent(label=entry.label, sense=entry.sense, lines=lines, flags=entry.flags)
        changed[position] = content if lines else None
    source = {**parent.source, "filtered_by": job_id, "num_edited": len(changed)}
    owner = owner_of_job(tx, job_id)
    return attribute_sets.derive(tx, parent, changed, source=source, owner=owner).id


def _is_dropped(line: LineJSON, label: str, dropped: set[str]) -> bool:
    if line["kind"] != "phrase" or line.get("locked") or line["origin"] == "human":
        return False
    return render("phrases", label, LabelAttributes(phrases=(line["text"],)))[0] in dropped
