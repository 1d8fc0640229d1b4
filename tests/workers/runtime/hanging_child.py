"""`python -m tests.workers.runtime.hanging_child PART_ID`: a real GPU child whose work hangs, as the job's name says.

The teacher's name in the job's spec chooses how the work hangs; see `HANGS`.
"""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import deque

import workers.child
from store.jobs.claims import Claim
from store.jobs.part_results import PartResult
from store.jobs.specs import EncodeSpec
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish


def read_fifo(context: Context, lease: LeaseRenewal) -> None:
    """Open a FIFO named `x.jpg` that nobody writes to."""
    with (context.settings.home / "x.jpg").open("rb") as file:
        file.read()


def ignore_sigterm(_context: Context, _lease: LeaseRenewal) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.1)


def hold_the_lock_of_python(_context: Context, _lease: LeaseRenewal) -> None:
    """As a call in C that does not return: no other thread runs, and the lease is not renewed."""
    deque(itertools.repeat(0), maxlen=0)


def start_a_process(context: Context, lease: LeaseRenewal) -> None:
    """A process with a session of its own, as `torchrun` starts its ranks."""
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    (context.settings.home / "started").write_text(str(started.pid))
    read_fifo(context, lease)


def suspend_itself(_context: Context, _lease: LeaseRenewal) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def progress_slowly(_context: Context, lease: LeaseRenewal) -> None:
    for done in range(8):
        lease.progress(done, 8, "texts")
        time.sleep(0.5)


HANGS = {
    work.__name__: work
    for work in (
        read_fifo,
        ignore_sigterm,
        hold_the_lock_of_python,
        start_a_process,
        suspend_itself,
        progress_slowly,
    )
}


def work(context: Context, claim: Claim, lease: LeaseRenewal) -> Publish:
    lease.begin("reading")
    lease.progress(3, 9, "images")
    lease.flush()
    HANGS[claim.job(EncodeSpec).teacher](context, lease)
    return lambda _tx: PartResult()


if __name__ == "__main__":
    workers.child._work = work
    sys.exit(workers.child.main())
