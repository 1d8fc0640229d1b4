"""Run a part, if it can be claimed: one function per queue, called by the Celery tasks and by the embedded loop."""

from store.jobs import claims, outbox
from store.jobs.claims import Claim
from workers.runtime.context import Context
from workers.runtime.gpus import count_gpus
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish, claim_part, run_claimed

_UNFIT_RESEND_S = 2.0  # then another worker may take the message of a part that needs more GPUs than this one has


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
    """Run a GPU part in a child process, unless this worker has fewer GPUs than the part needs.

    The process is ended if it does not end by itself.
    """
    with context.db.read() as tx:
        fits = claims.fits_part(tx, part_id, num_gpus=count_gpus())
    if not fits:
        with context.db.write() as tx:
            outbox.send_again(tx, part_id, in_s=_UNFIT_RESEND_S, resend_s=context.settings.resend_s)
        return
    from workers.runtime.gpu_parent import run_child  # imported late: a worker without GPU does not have psutil

    run_child(context, part_id)


RUN = {"enrich": run_enrich, "gpu": run_gpu}
