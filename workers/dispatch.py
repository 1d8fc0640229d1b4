"""Run a part, if it can be claimed: one function per queue, called by the Celery tasks and by the embedded loop."""

from store.jobs import claims
from store.jobs.claims import Claim
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish, claim_part, run_claimed


def run_enrich(context: Context, part_id: str) -> None:
    """Run a part of an enrich job in this process, then the next part of the same job."""
    claim = claim_part(context, part_id)
    while claim is not None:
        run_claimed(context, claim, _enrich_work)
        if context.shutting_down.is_set():
            return
        with context.db.read() as tx:
            next_id = claims.next_part(tx, claim.job_id, "enrich", after_stage=claim.stage)
        claim = claim_part(context, next_id) if next_id else None


def _enrich_work(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Import the work late, so that an import that fails is a failed part and not a dead worker."""
    from workers.enrich.parts import WORK

    return WORK[claim.kind](context, claim, lease)


def run_gpu(context: Context, part_id: str) -> None:
    """Run a GPU part in a child process, and end the process if it does not end by itself."""
    from workers.runtime.gpu_parent import run_child  # imported late: a worker without GPU does not have psutil

    run_child(context, part_id)


RUN = {"enrich": run_enrich, "gpu": run_gpu}
