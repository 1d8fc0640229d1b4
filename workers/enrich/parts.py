"""The kinds of part that an enrich job is made of, on the `enrich` queue; `workers.gpu.confusable_labels` is the one
with torch.

    describe   a chunk of labels, asked about by all of the job's strategies about labels
    contrast   a chunk of pairs of labels, asked what tells them apart; made by the neighbours part
    caption    a chunk of images
    mend       the gates over what is said so far, and `correct` what they catch, asked again (`workers.enrich.repair`)
    assemble   a run of pages of the job's set, put together from the answers; or its captions as a file
    report     the gates over these pages; `check` over a set that is there, as a job of its own
    (`workers.enrich.gates`)

A part that is begun again finds the results of the last attempt and asks for the rest; a question that was answered for
any earlier job is not asked at all.
"""

from attributes.types import Label
from store import vocabularies
from store.enrich import assembly, results
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import PartResult
from store.jobs.specs import CaptionSpec, ContrastSpec, DescribeSpec, RangeSpec
from workers.enrich import captions, gates, llm_settings, repair
from workers.enrich.batch import asking_for
from workers.enrich.questions import about_labels, between_labels
from workers.runtime.context import Context
from workers.runtime.errors import Stopped
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish, Work


def describe(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Ask all of the job's strategies about labels about a chunk of them."""
    spec, part = claim.job(DescribeSpec), claim.part(RangeSpec)
    start, stop = part.start, part.stop
    chain = enumerate(llm_settings.strategies(context, spec))
    steps = {step: strategy for step, strategy in chain if strategy.about == "label"}
    with context.db.read() as tx:
        rows = vocabularies.labels(tx, spec.vocabulary_id, start=start, stop=stop)
        ended = {at for at in results.ended(tx, claim, start=start, stop=stop) if at[0] in steps}
    labels = [(row.position, Label(row.name, row.sense)) for row in rows]
    per_label = sum(strategy.num_questions for strategy in steps.values())
    asking = asking_for(context, keeper, total=len(labels), unit="labels", per_unit=per_label)
    asking.through(about_labels(steps, labels, spec.domain, ended), num_ended=len(ended))
    return lambda _tx: PartResult()


def contrast(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Ask a step's strategy about a chunk of pairs, which are in the order of their first positions."""
    spec, part = claim.job(DescribeSpec), claim.part(ContrastSpec)
    step, pairs = part.step, part.pairs
    strategy = llm_settings.strategies(context, spec)[step]
    wanted = sorted({position for pair in pairs for position in pair})
    first, last = pairs[0][0], pairs[-1][0]
    with context.db.read() as tx:
        rows = vocabularies.labels_at(tx, spec.vocabulary_id, wanted)
        known = results.ended(tx, claim, start=first, stop=last + 1)
    samples = range(strategy.samples)
    own = {(step, low, high * strategy.samples + sample) for low, high in pairs for sample in samples}
    labels = {row.position: Label(row.name, row.sense) for row in rows}
    asking = asking_for(context, keeper, total=len(pairs), unit="pairs", per_unit=strategy.samples)
    questions = between_labels(step, strategy, pairs, labels, spec.domain, known)
    asking.through(questions, num_ended=len(own & known))
    return lambda _tx: PartResult()


def assemble(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Put a run of the job's pages together, each in a transaction of its own, so that the sealing has little to do."""
    if isinstance(claim.job_spec, CaptionSpec):
        return captions.assemble(context, claim, keeper)
    spec, part = claim.job(DescribeSpec), claim.part(RangeSpec)
    start, stop = part.start, part.stop
    with context.db.read() as tx:
        noted = assembly.recorded_pages(tx, claim.job_id)
    for page in range(start, stop):
        if keeper.should_stop():
            raise Stopped
        if page not in noted:
            with context.db.write() as tx:
                claims.check(tx, claim)
                assembly.record_page(tx, claim.job_id, spec, page)
        keeper.progress(page + 1 - start, stop - start, "pages")
    return lambda _tx: PartResult()


WORK: dict[str, Work] = {
    "describe": describe,
    "contrast": contrast,
    "caption": captions.caption,
    "assemble": assemble,
    "mend": repair.mend,
    "correct": repair.correct,
    "report": gates.report,
    "check": gates.check_set,
}
