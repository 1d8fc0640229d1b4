"""The training of a part on several machines: each has a part, a child and a torchrun of its own.

They train in rounds (`workers.gpu.rounds.rendezvous`). If one machine leaves the round, because its ranks or its child
have ended, the others end theirs and meet again, and all resume from the last training state. Only the machine that
caused the end of a round counts an attempt.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from store.jobs.claims import Claim
from store.jobs.part_results import PartResult, TrainPartResult
from store.jobs.specs import DistillSpec, NodeSpec
from store.lifecycle.nodes import Round
from workers.gpu.rounds import rendezvous
from workers.gpu.torchrun import check_gpus, read_outcomes, result_of, run_torchrun
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, PartError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal

_POLL_S = 0.5
_RETRY_S = 2.0
_LOST_MARGIN_S = 5.0
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


def train_on_machines(
    context: Context, claim: Claim, lease: LeaseRenewal, spec: DistillSpec, folder: Path
) -> PartResult:
    """Train with the ranks of this machine; a TrainPartResult on machine 0.

    Raises Stopped, PartError for the errors of a rank and for a lost rank, and Deferred if other machines are missing.
    """
    check_gpus(spec.config, spec.nproc)
    node = 0 if claim.kind == "train" else claim.part(NodeSpec).node
    round = rendezvous.meet(context, claim, lease, node=node, nnodes=spec.nnodes)
    if round is None:
        return PartResult()
    watch = _RoundWatch(context, claim, lease, round)
    result = _train_round(context, claim, lease, spec, folder, node, watch)
    if node == 0:
        return result
    while not watch.is_finished():  # machine 0 still stores the student
        if lease.should_stop():
            raise Stopped("waiting for machine 0")
        if watch.is_over():
            raise Deferred(_RETRY_S)
        time.sleep(_POLL_S)
    return PartResult()


class _RoundWatch:
    """Looks at the parts of the round, at most every `_POLL_S`; reports the progress of machine 0 as that of this part,
    so that a watchdog sees it."""

    def __init__(self, context: Context, claim: Claim, lease: LeaseRenewal, round: Round) -> None:
        self.round = round
        self._context, self._claim, self._lease = context, claim, lease
        self._looked_at = float("-inf")
        self._is_over = self._is_finished = False
        self._reported: tuple[int, int, str] | None = None

    def is_over(self) -> bool:
        """Whether another machine has left the round before the training was finished."""
        self._look()
        return self._is_over

    def is_finished(self) -> bool:
        """Whether machine 0 has stored the student."""
        self._look()
        return self._is_finished

    def _look(self) -> None:
        if time.monotonic() - self._looked_at < _POLL_S or self._is_over or self._is_finished:
            return
        self._looked_at = time.monotonic()
        gathering = rendezvous.try_look(self._context, self._claim)
        if gathering is None:
            return
        self._is_finished = gathering.is_finished
        self._is_over = not gathering.is_finished and gathering.tokens != self.round.tokens
        progress = gathering.done, gathering.total, gathering.unit
        if self._claim.kind != "train" and progress != self._reported:
            self._reported = progress
            self._lease.progress(*progress)


def _train_round(
    context: Context,
    claim: Claim,
    lease: LeaseRenewal,
    spec: DistillSpec,
    folder: Path,
    node: int,
    watch: _RoundWatch,
) -> TrainPartResult:
    """Train on this machine as long as no other leaves the round."""
    host, _, port = watch.round.address.rpartition(":")
    launch = ["--nnodes", str(spec.nnodes), "--node-rank", str(node), "--nproc-per-node", str(spec.nproc)]
    launch += ["--master-addr", host, "--master-port", port]
    was_over = run_torchrun(
        launch,
        claim,
        lease,
        spec.config,
        folder,
        state_key=watch.round.state_key,
        is_over=watch.is_over,
        environment=_interfaces(rendezvous.own_host(context)),
    )
    ranks = range(node * spec.nproc, (node + 1) * spec.nproc)
    try:
        return result_of(read_outcomes(folder, ranks), first_rank=ranks.start, should_stop=lease.should_stop())
    except Stopped:
        raise
    except PartError as error:
        if error.code == "rank_lost" and was_over:  # its ranks did not end in time, and were killed
            raise Deferred(_RETRY_S) from error
        raise
    except RuntimeError as error:  # such as a connection that another machine has closed
        if lease.should_stop():
            raise Stopped("the job stops on all machines") from error
        if was_over or _ends_soon(context, lease, watch.is_over):
            raise Deferred(_RETRY_S) from error
        raise


def _ends_soon(context: Context, lease: LeaseRenewal, is_over: Callable[[], bool]) -> bool:
    """Whether the round ends within a lease: then what ended the ranks of this machine is at another one."""
    give_up_at = time.monotonic() + context.settings.lease_s + _LOST_MARGIN_S
    while time.monotonic() < give_up_at and not lease.should_stop():
        if is_over():
            return True
        time.sleep(_POLL_S)
    return False


def _interfaces(host: str) -> dict[str, str]:
    """Variables that name the network interface with the address `host`, for gloo and NCCL, unless they are set.

    By itself, gloo uses the address of the host name, which often is one that other machines cannot reach.
    """
    for name, addresses in psutil.net_if_addrs().items():
        if host in (one.address for one in addresses):
            return {variable: name for variable in _INTERFACES if variable not in os.environ}
    return {}
