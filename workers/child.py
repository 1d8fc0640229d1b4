"""The process that runs a GPU part, and then the parts of its job that waited for it:
`python -m workers.child PART_ID [--parent PID]`.

It claims the part itself and renews its own lease, so that nothing but the rows connects it to whoever started it. It
ends when the work ends, on SIGTERM or SIGINT, when its parent dies, when its job is cancelled, when its time is up and
when its lease is lost; asked to end, it saves its state and gives the part back, and is gone within `GRACE_S`.
"""

import argparse
import os
import signal
import sys
import threading
import time

from store.jobs import claims
from store.jobs.claims import Claim
from store.logs import configure
from workers.runtime.context import Context
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish, claim_part, run_claimed

GRACE_S = 20.0
_POLL_S = 0.25


def main() -> int:
    """Run the part and those behind it; 0 however they ended, for their rows tell."""
    parser = argparse.ArgumentParser(description="Run one GPU part.")
    parser.add_argument("part_id")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="end when this process dies")
    arguments = parser.parse_args()
    configure()
    context = Context.open()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: context.shutting_down.set())
    threading.Thread(target=_watch, args=(context, arguments.parent), daemon=True).start()

    claim = claim_part(context, arguments.part_id)
    if claim is None:
        return 0
    while claim is not None:
        run_claimed(context, claim, _work)
        claim = _next(context, claim)
    return 0


def _work(context: Context, claim: Claim, keeper: Keeper) -> Publish:
    """Torch takes seconds to import: not before there is something to do, and with the lease being renewed."""
    from workers.gpu.parts import WORK

    return WORK[claim.kind](context, claim, keeper)


def _next(context: Context, done: Claim) -> Claim | None:
    """The part that waited for the one just done: this process has torch loaded, and its caches warm."""
    if context.shutting_down.is_set():
        return None
    with context.db.read() as tx:
        part_id = claims.next_of(tx, done.job_id, "gpu")
    return claim_part(context, part_id) if part_id else None


def _watch(context: Context, parent: int) -> None:
    """Ask for the end when the parent is gone; make it happen where the work does not answer."""
    while os.getppid() == parent and not context.shutting_down.is_set():
        time.sleep(_POLL_S)
    context.shutting_down.set()
    time.sleep(GRACE_S)
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
