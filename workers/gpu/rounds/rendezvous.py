"""The machines of a training meet: every part waits until all are claimed, and learns where machine 0 listens.

Two jobs whose parts were claimed by turns would wait for each other's workers. Therefore a part of the less urgent job
gives its worker back when it sees that a more urgent one waits for a worker like this, and every part does so after
`WAIT_S`.
"""

import socket
import time

import structlog
import torch
from sqlalchemy.exc import SQLAlchemyError

from limbeck.shared.text import counted
from store.jobs.claims import Claim
from store.lifecycle import nodes
from store.lifecycle.nodes import Gathering, Round
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, Stopped
from workers.runtime.lease_renewal import LeaseRenewal

WAIT_S = 60.0
RETRY_S = 30.0
YIELD_S = 3.0
_POLL_S = 0.3
log = structlog.get_logger()


def meet(
    context: Context, claim: Claim, lease: LeaseRenewal, *, node: int, nnodes: int, wait_s: float = WAIT_S
) -> Round | None:
    """Wait until all machines are here; None if the training has succeeded without this one.

    Raises Deferred if they do not come or a more urgent job needs this worker, and Stopped. Machine 0 may be late: its
    ranks of the round before must end. When the last machine has come, it has `wait_s` again.
    """
    give_up_at = time.monotonic() + wait_s
    seen: tuple[str | None, ...] = ()
    num_gpus = torch.cuda.device_count()
    lease.note(f"machine {node} of {nnodes} waits for the others")
    while not lease.should_stop():
        gathering = try_look(context, claim, num_gpus=num_gpus)
        if gathering is None:
            time.sleep(_POLL_S)
            continue
        if gathering.is_finished:
            return None
        if gathering.round is not None:
            lease.note(f"machine {node} of {nnodes} trains; machine 0 is at {gathering.round.address}")
            return gathering.round
        if gathering.must_yield:
            lease.note("a more urgent job waits for machines: this worker is free for it")
            raise Deferred(YIELD_S)
        if gathering.is_complete and gathering.tokens != seen:
            seen, give_up_at = gathering.tokens, time.monotonic() + wait_s
        if gathering.is_complete and node == 0:
            with context.db.write() as tx:
                nodes.publish(tx, claim, gathering.tokens, f"{own_host(context)}:{_free_port()}")
            continue
        if time.monotonic() > give_up_at:
            missing = counted(nnodes - gathering.num_claimed, "machine")
            who = "machine 0 did not begin" if gathering.is_complete else f"{missing} did not come"
            lease.note(f"{who} within {wait_s:.0f} s; trying again in {RETRY_S:.0f} s")
            raise Deferred(RETRY_S)
        time.sleep(_POLL_S)
    raise Stopped("waiting for other machines")


def try_look(context: Context, claim: Claim, *, num_gpus: int = 0) -> Gathering | None:
    """What the parts of the training do now; None if the database does not respond: the lease is lost if that lasts.

    `num_gpus`: of this worker.
    """
    try:
        with context.db.read() as tx:
            return nodes.look(tx, claim.job_id, num_gpus=num_gpus)
    except SQLAlchemyError as error:
        log.warning("database_unreachable", part=claim.part_id, error=type(error).__name__)
        return None


def own_host(context: Context) -> str:
    """The address of this machine for the others: LIMBECK_RENDEZVOUS_HOST, or the one from which it reaches the
    database, on the loopback interface if that is on this machine."""
    if context.settings.rendezvous_host:
        return context.settings.rendezvous_host
    url = context.db.url
    if url.host is None or url.host.startswith("/"):
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((url.host, url.port or 5432))  # chooses the route, and sends nothing
        address: str = probe.getsockname()[0]
        return address


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
