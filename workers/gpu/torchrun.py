"""Runs the training of a part in several processes (ranks) under torchrun, from the child that holds the claim.

The child renews the lease and ends the part; the ranks (`workers.gpu.rank`) train. If one rank is lost, torchrun ends
the others, and the part is tried again from its last training state. torchrun is in the process group of the child and
dies with it, and each rank dies with torchrun, so that no rank survives the child. On several machines, each has a part
and a child with its own torchrun; if one machine leaves the round, the others end theirs and meet again.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from distill.config.train_config import TrainConfig
from limbeck.shared.child_process import end_with_parent
from store.jobs.claims import Claim
from store.jobs.nodes import Round
from store.jobs.part_results import TrainPartResult
from store.jobs.specs import DistillSpec, NodeSpec
from workers.gpu import rendezvous
from workers.gpu.rank_outcome import RankOutcome, read_outcome
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, PartError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal

# How long ranks may take to save their state: shorter than the time that the child has (`workers.child.GRACE_S`).
SHUTDOWN_S = 15
_POLL_S = 0.1
_ROUND_POLL_S = 0.5
_RETRY_S = 2.0
_LOST_MARGIN_S = 5.0


def train_in_ranks(
    context: Context, claim: Claim, lease: LeaseRenewal, spec: DistillSpec, folder: Path
) -> TrainPartResult | None:
    """Train with the ranks of this machine; the result on machine 0, None on the others.

    Raises Stopped, PartError for the errors of a rank and for a lost rank, and Deferred if other machines are missing.
    """
    check_gpus(spec.config, spec.nproc)
    if spec.nnodes == 1:
        command = ["--standalone", "--nproc-per-node", str(spec.nproc)]
        _run(command, claim, claim.state_key, lease, spec.config, folder)
        return result_of(_outcomes(folder, range(spec.nproc)), should_stop=lease.should_stop())
    node = 0 if claim.kind == "train" else claim.part(NodeSpec).node
    round = rendezvous.meet(context, claim, lease, node=node, nnodes=spec.nnodes)
    return None if round is None else _train_round(context, claim, lease, spec, folder, node, round)


def _train_round(
    context: Context, claim: Claim, lease: LeaseRenewal, spec: DistillSpec, folder: Path, node: int, round: Round
) -> TrainPartResult | None:
    """Train on this machine as long as no other leaves the round."""
    host, _, port = round.address.rpartition(":")
    command = ["--nnodes", str(spec.nnodes), "--node-rank", str(node), "--nproc-per-node", str(spec.nproc)]
    command += ["--master-addr", host, "--master-port", port]

    def is_over() -> bool:
        return rendezvous.is_over(context, claim, lease, round)

    was_over = _run(command, claim, round.state_key, lease, spec.config, folder, is_over=is_over)
    ranks = range(node * spec.nproc, (node + 1) * spec.nproc)
    try:
        result = result_of(_outcomes(folder, ranks), first_rank=ranks.start, should_stop=lease.should_stop())
    except (PartError, RuntimeError) as error:
        is_own = isinstance(error, PartError) and (error.code != "rank_lost" or not was_over)
        if not is_own and not isinstance(error, Stopped) and (was_over or _ends_soon(context, lease, is_over)):
            raise Deferred(_RETRY_S) from error
        raise
    if node == 0:
        return result
    while not rendezvous.look(context, claim).is_finished:  # machine 0 still stores the student
        if lease.should_stop():
            raise Stopped("waiting for machine 0")
        if is_over():
            raise Deferred(_RETRY_S)
        time.sleep(_ROUND_POLL_S)
    return None


def _ends_soon(context: Context, lease: LeaseRenewal, is_over: Callable[[], bool]) -> bool:
    """Whether the round ends within a lease: then what ended the ranks of this machine is at another one."""
    give_up_at = time.monotonic() + context.settings.lease_s + _LOST_MARGIN_S
    while time.monotonic() < give_up_at and not lease.should_stop():
        if is_over():
            return True
        time.sleep(_ROUND_POLL_S)
    return False


def check_gpus(config: TrainConfig, nproc: int) -> None:
    """Raise PartError if the machine has GPUs, but fewer than ranks. Without any, the ranks share the CPU."""
    num_gpus = torch.cuda.device_count()
    device = config.system.device
    if device == "cpu" or device == "auto" and not num_gpus or num_gpus >= nproc:
        return
    raise PartError(
        "too_few_gpus",
        f"nproc is {nproc}, and this worker has {num_gpus} GPUs: start a worker that may use {nproc} GPUs of a machine "
        "(CUDA_VISIBLE_DEVICES), or create the job with a smaller nproc",
    )


def _run(
    command: list[str],
    claim: Claim,
    state_key: str | None,
    lease: LeaseRenewal,
    config: TrainConfig,
    folder: Path,
    *,
    is_over: Callable[[], bool] = lambda: False,
) -> bool:
    """Run torchrun until all ranks have ended. Returns whether they were ended because the round was over."""
    launch = [sys.executable, "-m", "torch.distributed.run", *command, "--shutdown-timeout", str(SHUTDOWN_S)]
    launch += ["-m", "workers.gpu.rank", claim.part_id, claim.token, str(folder), "--state", state_key or ""]
    with subprocess.Popen(launch, env=_environment(config), preexec_fn=end_with_parent(signal.SIGKILL)) as torchrun:
        try:
            return _wait(torchrun, lease, is_over)
        finally:
            torchrun.kill()


def _environment(config: TrainConfig) -> dict[str, str]:
    """The environment of the ranks: that of this process, without its GPUs for a training on the CPU.

    torch's C++ code warns of a choice that `distill.training.distributed` makes for an exact resume.
    """
    environment = {"TORCH_CPP_LOG_LEVEL": "ERROR"} | dict(os.environ)
    return environment | ({"CUDA_VISIBLE_DEVICES": ""} if config.system.device == "cpu" else {})


def _wait(torchrun: "subprocess.Popen[bytes]", lease: LeaseRenewal, is_over: Callable[[], bool]) -> bool:
    """Wait until all ranks have ended; ask them to save their state and end when the part should stop."""
    was_asked = was_over = False
    looked_at = time.monotonic()
    while torchrun.poll() is None:
        if not was_asked and time.monotonic() - looked_at > _ROUND_POLL_S:
            looked_at = time.monotonic()
            was_over = is_over()
        if (was_over or lease.should_stop()) and not was_asked:
            was_asked = True
            torchrun.terminate()
        time.sleep(_POLL_S)
    return was_over


def _outcomes(folder: Path, ranks: range) -> list[RankOutcome | None]:
    return [read_outcome(folder / f"rank-{rank}") for rank in ranks]


def result_of(outcomes: list[RankOutcome | None], *, first_rank: int = 0, should_stop: bool) -> TrainPartResult:
    """The result of the first rank; `outcomes` are by rank, from `first_rank`, None for a rank that was lost.

    Raises Stopped if the part should stop. Else raises the error of the part, if a rank had one, PartError for a lost
    rank, or what ended the first of the ranks: the others end because of it.
    """
    first = outcomes[0]
    if first is not None and first.result is not None:
        return first.result
    if should_stop:
        raise Stopped("the ranks were stopped")
    ended = sorted(
        ((rank, outcome) for rank, outcome in enumerate(outcomes, first_rank) if outcome is not None),
        key=lambda one: one[1].at,
    )
    for rank, outcome in ended:
        if outcome.code is not None:
            raise outcome.as_error(rank)
    if lost := [str(rank) for rank, outcome in enumerate(outcomes, first_rank) if outcome is None]:
        ranks = f"rank{'s' if len(lost) > 1 else ''} {', '.join(lost)} of {len(outcomes)}"
        raise PartError("rank_lost", f"{ranks} ended without a report (killed? out of memory?)", retry_in_s=_RETRY_S)
    for rank, outcome in ended:
        if not outcome.has_succeeded:
            raise outcome.as_error(rank)
    raise PartError("rank_lost", "the first rank ended without a result", retry_in_s=_RETRY_S)
