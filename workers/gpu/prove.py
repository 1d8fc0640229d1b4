"""The prove part: whether a set's attributes help a teacher, beside controls that say nothing of the labels.

Its result holds the proof; where phrases that training images deny were asked to go, a set without them is made of the
old one, unless held-out accuracy fell.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from distill.benefit.phrase_filter import PhraseFilterResult
from distill.benefit.run import measure_benefit as prove_benefit
from distill.pipeline import NoImages
from distill.teacher.teacher import TeacherError
from distill.texts.text_templates import LabelAttributes, render
from store.jobs.claims import Claim
from store.jobs.part_results import ProveResult
from store.jobs.specs import ProveSpec
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from workers.gpu import inputs
from workers.gpu.train import pipeline_hooks
from workers.runtime.context import Context
from workers.runtime.errors import PartFailed
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish


def prove(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Run the part."""
    spec = claim.job(ProveSpec)
    with inputs.scratch(context) as folder:
        images = inputs.images(context, spec.dataset_id, folder)
        with context.db.read() as tx:
            entries = attribute_sets.entries(tx, spec.attribute_set_id)
        said = [LabelAttributes.of_lines(entry.lines) if entry else LabelAttributes() for entry in entries]
        watch = pipeline_hooks(keeper)
        try:
            proof = prove_benefit(
                inputs.teacher(context, spec.teacher),
                images.image_index,
                said,
                cache=context.settings.cache,
                concept=spec.concept,
                seeds=range(spec.seeds),
                filter_phrases=spec.filter_phrases,
                root=images.root,
                hooks=watch,
            )
        except TeacherError as error:
            raise PartFailed(error.code, str(error)) from error
        except NoImages as error:
            raise PartFailed("no_usable_images", str(error)) from error
        except ValueError as error:
            raise PartFailed("nothing_to_prove", str(error)) from error
    if proof.filtered is not None and proof.filtered.refused:
        keeper.note(f"phrases are left as they are: {proof.filtered.refused}", level="warning")

    def publish(tx: Session) -> ProveResult:
        made = None
        if proof.filtered is not None and proof.filtered.dropped:
            made = _filtered_set(tx, spec, images.image_index.labels, proof.filtered, job_id=claim.job_id)
        return ProveResult(
            proof=proof.as_json(),
            num_bad_images=len(watch.bad_images),
            attribute_set_id=made,
        )

    return publish


def _filtered_set(
    tx: Session, spec: ProveSpec, labels: tuple[str, ...], filtered: PhraseFilterResult, *, job_id: str
) -> str:
    """A set without the phrases that are left out; lines that a person wrote or locked stay."""
    parent = attribute_sets.get(tx, spec.attribute_set_id)
    entries = attribute_sets.entries_at(tx, parent.id, sorted(filtered.dropped))
    changed: dict[int, EntryContent | None] = {}
    for position, entry in entries.items():
        gone = set(filtered.dropped[position])
        lines = [line for line in entry.lines if not _is_gone(line, labels[position], gone)]
        content = EntryContent(label=entry.label, sense=entry.sense, lines=lines, flags=entry.flags)
        changed[position] = content if lines else None
    source = {**parent.source, "filtered_by": job_id, "num_edited": len(changed)}
    return attribute_sets.derive(tx, parent, changed, source=source).id


def _is_gone(line: Mapping[str, Any], label: str, gone: set[str]) -> bool:
    if line["kind"] != "phrase" or line.get("locked") or line["origin"] == "human":
        return False
    return render("phrases", label, LabelAttributes(phrases=(line["text"],)))[0] in gone
