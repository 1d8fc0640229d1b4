"""The child process for a GPU part and the later parts of its job: `python -m workers.child PART_ID [--parent PID]`.

The child claims the part and renews its lease itself; it shares only the database with the process that started it. It
stops when the work ends, on SIGTERM or SIGINT, when its parent dies, when its job is cancelled, when the time limit is
exceeded and when the lease is lost. When it has to stop early, it saves its state, releases the part and exits within
`GRACE_S`. If it does not stop by itself, its parent ends it (`workers.runtime.watchdog`).
"""

import argparse
import os
import signal
import sys
import threading
import time

from distill.data.files.regular_files import confine_to
from limbeck.shared.tracing import spans
from store.jobs import claims
from store.jobs.claims import Claim
from store.uploads import places
from workers.runtime.attempt_traces import NOT_AVAILABLE, write_stack_on_signal
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.logs import configure
from workers.runtime.run_part import Publish, claim_part, run_claimed

GRACE_S = 20.0
_POLL_S = 0.25


def main() -> int:
    """Run the part and the parts that wait for it. Returns 0, because the rows of the parts say how they ended, and
    `NOT_AVAILABLE` if the part cannot be claimed or the parent is gone."""
    parser = argparse.ArgumentParser(description="Run one GPU part.")
    parser.add_argument("part_id")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="stop when this process dies")
    parser.add_argument("--stack", help="write where the main thread stands to this file, on SIGUSR1")
    arguments = parser.parse_args()
    if arguments.stack:
        write_stack_on_signal(arguments.stack)
    context = Context.open()
    configure(context.settings)
    spans.start("limbeck-gpu")
    confine_to(*places.roots(context.settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.shutting_down.set())
    if os.getppid() != arguments.parent:  # it died while this process started: the part is left to another one
        return NOT_AVAILABLE
    threading.Thread(target=_stop_with_parent, args=(context, arguments.parent), daemon=True).start()

    claim = claim_part(context, arguments.part_id)
    if claim is None:
        return NOT_AVAILABLE
    with spans.span("GPU process", parent=claim.trace_parent, pid=os.getpid(), job=claim.job_id):
        while claim is not None:
            run_claimed(context, claim, _work)
            claim = _claim_next(context, claim)
    return 0


def _work(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    """Import torch late: it takes seconds, and the lease is renewed meanwhile."""
    from workers.gpu.parts import WORK

    return WORK[claim.kind](context, claim, lease)


def _claim_next(context: Context, done: Claim) -> Claim | None:
    """Claim the next part of the same job: this process has loaded torch and the teacher already."""
    from torch.cuda import device_count  # loaded already, by the work of the part before

    while not context.shutting_down.is_set():
        with context.db.read() as tx:
            part_id = claims.next_part(tx, done.job_id, "gpu", num_gpus=device_count())
        if part_id is None:
            return None
        if (claim := claim_part(context, part_id)) is not None:
            return claim  # else another worker was faster: parts of one stage run on all of them
    return None


def _stop_with_parent(context: Context, parent: int) -> None:
    """Request a stop when the parent is gone; exit after `GRACE_S` if the work does not stop by itself."""
    while os.getppid() == parent and not context.shutting_down.is_set():
        time.sleep(_POLL_S)
    context.shutting_down.set()
    time.sleep(GRACE_S)
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
