"""Work of the parts of enrich jobs, on the `enrich` queue; `workers.gpu.confusable_labels` needs torch and a teacher.

    describe   send all of the job's questions about a chunk of labels
    contrast   send the questions about a chunk of pairs of confusable labels
    caption    send the questions about a chunk of images (`workers.enrich.captions`)
    mend       judge the results with the gates and plan the repair prompts (`workers.enrich.repair`)
    correct    send a chunk of the repair prompts
    assemble   assemble pages of the job's set, or the job's caption file
    report     judge the assembled pages (`workers.enrich.gates`); `check`: judge a stored set, as a job of its own

A retried part continues after the results of its last attempt. A question with a response from any earlier job is not
sent again.
"""

from attributes.types import Label
from store import vocabularies
from store.enrich import assembly, results
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import PartResult
from store.jobs.specs import CaptionSpec, ContrastSpec, DescribeSpec, RangeSpec
from workers.enrich import captions, gates, llm_settings, repair
from workers.enrich.enrichment import create_enrichment
from workers.enrich.questions import label_questions, pair_questions
from workers.runtime.context import Context
from workers.runtime.errors import Stopped
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish, Work


def describe(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Send the questions of all strategies about labels, for one chunk of labels."""
    spec, part = claim.job(DescribeSpec), claim.part(RangeSpec)
    start, stop = part.start, part.stop
    strategies = enumerate(llm_settings.strategies(context, spec))
    steps = {step: strategy for step, strategy in strategies if strategy.about == "label"}
    with context.db.read() as tx:
        rows = vocabularies.labels(tx, spec.vocabulary_id, start=start, stop=stop)
        found = results.finished_questions(tx, claim, start=start, stop=stop)
    finished = {question for question in found if question[0] in steps}
    labels = [(row.position, Label(row.name, row.sense)) for row in rows]
    per_label = sum(strategy.num_questions for strategy in steps.values())
    enrichment = create_enrichment(context, lease, total=len(labels), unit="labels", per_unit=per_label)
    enrichment.run(label_questions(steps, labels, spec.domain, finished), num_finished=len(finished))
    return lambda _tx: PartResult()


def contrast(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Send the questions of one strategy about a chunk of pairs, which are ordered by their first position."""
    spec, part = claim.job(DescribeSpec), claim.part(ContrastSpec)
    step, pairs = part.step, part.pairs
    strategy = llm_settings.strategies(context, spec)[step]
    positions = sorted({position for pair in pairs for position in pair})
    first, last = pairs[0][0], pairs[-1][0]
    with context.db.read() as tx:
        rows = vocabularies.labels_at(tx, spec.vocabulary_id, positions)
        finished = results.finished_questions(tx, claim, start=first, stop=last + 1)
    samples = range(strategy.samples)
    of_part = {(step, low, high * strategy.samples + sample) for low, high in pairs for sample in samples}
    labels = {row.position: Label(row.name, row.sense) for row in rows}
    enrichment = create_enrichment(context, lease, total=len(pairs), unit="pairs", per_unit=strategy.samples)
    questions = pair_questions(step, strategy, pairs, labels, spec.domain, finished)
    enrichment.run(questions, num_finished=len(of_part & finished))
    return lambda _tx: PartResult()


def assemble(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Assemble a range of the job's pages, one transaction per page, so that publishing the job is short."""
    if isinstance(claim.job_spec, CaptionSpec):
        return captions.assemble(context, claim, lease)
    spec, part = claim.job(DescribeSpec), claim.part(RangeSpec)
    start, stop = part.start, part.stop
    with context.db.read() as tx:
        recorded = assembly.recorded_pages(tx, claim.job_id)
    for page in range(start, stop):
        if lease.should_stop():
            raise Stopped
        if page not in recorded:
            with context.db.write() as tx:
                claims.check(tx, claim)
                assembly.record_page(tx, claim.job_id, spec, page)
        lease.progress(page + 1 - start, stop - start, "pages")
    return lambda _tx: PartResult()


WORK: dict[str, Work] = {
    "describe": describe,
    "contrast": contrast,
    "caption": captions.caption,
    "assemble": assemble,
    "mend": repair.plan_repairs,
    "correct": repair.query_repairs,
    "report": gates.report,
    "check": gates.check_set,
}
