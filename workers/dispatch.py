"""Run a part, if it can be claimed: one function per queue, called by the Celery tasks and by the embedded loop."""

from store.jobs import claims, outbox
from store.jobs.claims import Claim
from workers.runtime.context import Context
from workers.runtime.gpus import count_gpus
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish, claim_part, run_claimed

_UNFIT_RESEND_S = 2.0  # then another worker may take the message of a part that needs more GPUs than this one has


def run_enrich(context: Context, part_id: str) -> bool:
    """Run a part of an enrich job in this process, then the next part of the same job. False: it was not available."""
    claim = claim_part(context, part_id)
    was_available = claim is not None
    while claim is not None:
        run_claimed(context, claim, _enrich_work)
        if context.shutting_down.is_set():
            break
        with context.db.read() as tx:
            next_id = claims.next_part(tx, claim.job_id, "enrich", after_stage=claim.stage)
        claim = claim_part(context, next_id) if next_id else None
    return was_available


def _enrich_work(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Import the work late, so that an import that fails is a failed part and not a dead worker."""
    from workers.enrich.parts import WORK

    return WORK[claim.kind](context, claim, lease)


def run_gpu(context: Context, part_id: str) -> bool:
    """Run a GPU part in a child process, which is ended if it hangs. False: the part was not available."""
    from workers.runtime.gpu_parent import run_child  # imported late: a worker without GPU does not have psutil

    return run_child(context, part_id)


def run_for_message(context: Context, queue: str, part_id: str) -> None:
    """Run the most urgent ready part of a queue, for a message about one of its parts.

    A queue of the broker is first in, first out, so that a message means only that there is work. If the named part
    has to wait for a more urgent one, it gets another message.
    """
    tried: set[str] = set()
    num_gpus = count_gpus() if queue == "gpu" else 0
    fits = _fits(context, part_id, num_gpus)
    while not context.shutting_down.is_set():
        with context.db.read() as tx:
            ready = claims.ready_for_message(tx, queue, part_id, num_gpus=num_gpus)
        candidates = [id for id in ready if id not in tried]
        if not candidates:
            return
        if candidates[0] != part_id and fits:
            with context.db.write() as tx:
                outbox.mark_unsent(tx, part_id)
        if RUN[queue](context, candidates[0]):
            return
        tried.add(candidates[0])


def _fits(context: Context, part_id: str, num_gpus: int) -> bool:
    """Whether a worker with these GPUs can run the part; if not, its message is sent again soon, to another worker."""
    with context.db.read() as tx:
        fits = claims.fits_part(tx, part_id, num_gpus=num_gpus)
    if not fits:
        with context.db.write() as tx:
            outbox.send_again(tx, part_id, in_s=_UNFIT_RESEND_S, resend_s=context.settings.resend_s)
    return fits


RUN = {"enrich": run_enrich, "gpu": run_gpu}
