"""The machines of a training meet: every part waits until all are claimed, and learns where machine 0 listens.

Two jobs whose parts were claimed by turns would wait for each other's workers. Therefore a part of the younger job
gives its worker back when it sees that an older job waits for machines, and every part does so after `WAIT_S`.
"""

import socket
import time

from sqlalchemy.exc import SQLAlchemyError

from limbeck.shared.text import number
from store.jobs import nodes
from store.jobs.claims import Claim
from store.jobs.nodes import Gathering, Round
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, Stopped
from workers.runtime.lease_renewal import LeaseRenewal

WAIT_S = 60.0
RETRY_S = 30.0
YIELD_S = 3.0
_POLL_S = 0.3


def meet(
    context: Context, claim: Claim, lease: LeaseRenewal, *, node: int, nnodes: int, wait_s: float = WAIT_S
) -> Round | None:
    """Wait until all machines are here; None if the training has succeeded without this one.

    Raises Deferred if they do not come or an older job needs this worker, and Stopped.
    """
    give_up_at = time.monotonic() + wait_s
    lease.note(f"machine {node} of {nnodes} waits for the others")
    while not lease.should_stop():
        gathering = look(context, claim)
        if gathering.is_finished:
            return None
        if gathering.round is not None:
            lease.note(f"{nnodes} machines train together; machine 0 is at {gathering.round.address}")
            return gathering.round
        if gathering.must_yield:
            lease.note("an older job waits for machines: this worker is free for it")
            raise Deferred(YIELD_S)
        if gathering.is_complete and node == 0:
            address = f"{_host(context)}:{_free_port()}"
            with context.db.write() as tx:
                nodes.publish(tx, claim, gathering.tokens, address)
            continue
        if time.monotonic() > give_up_at:
            missing = number(nnodes - gathering.num_claimed, "machine")
            lease.note(f"{missing} did not come within {wait_s:.0f} s; trying again in {RETRY_S:.0f} s")
            raise Deferred(RETRY_S)
        time.sleep(_POLL_S)
    raise Stopped("waiting for other machines")


def look(context: Context, claim: Claim) -> Gathering:
    """What the parts of the training do now."""
    with context.db.read() as tx:
        return nodes.look(tx, claim.job_id)


def is_over(context: Context, claim: Claim, lease: LeaseRenewal, round: Round) -> bool:
    """Whether another machine has left the round. Also reports the progress of machine 0 as that of this part."""
    try:
        gathering = look(context, claim)
    except SQLAlchemyError:  # the lease is lost if this lasts
        return False
    if claim.kind != "train":
        lease.progress(gathering.done, gathering.total, gathering.unit)
    return not gathering.is_finished and any(
        now != then for now, then in zip(gathering.tokens, round.tokens, strict=True)
    )


def _host(context: Context) -> str:
    """The address of this machine for the others."""
    return context.settings.rendezvous_host or socket.gethostbyname(socket.gethostname())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
