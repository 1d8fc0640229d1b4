"""Runs the training of a part in several processes (ranks) under torchrun, from the child that holds the claim.

The child renews the lease and ends the part; the ranks (`workers.gpu.rank`) train. If one rank is lost, torchrun ends
the others, and the part is tried again from its last training state. torchrun is in the process group of the child and
dies with it, and each rank dies with torchrun, so that no rank survives the child. Each rank writes how it ended to a
file; a rank that was killed writes none.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import structlog
import torch
from pydantic import BaseModel

from distill.config.train_config import TrainConfig
from limbeck.shared.child_process import end_with_parent
from limbeck.shared.text import first_line
from store.jobs.claims import Claim
from store.jobs.part_results import TrainPartResult
from store.jobs.specs import DistillSpec
from workers.runtime.errors import PartError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal

# How long ranks may take to save their state: shorter than the time that the child has (`workers.child.GRACE_S`).
SHUTDOWN_S = 15
_KILL_MARGIN_S = 2.0
_POLL_S = 0.1
_RETRY_S = 2.0
_OUTCOME_FILE = "outcome.json"
log = structlog.get_logger()


class RankOutcome(BaseModel):
    """`at`: time of the end. `result`: of the first rank. `stopped`: the training was stopped and its state saved.

    `error`: message of an exception; `code` and `retry_in_s`: those of a PartError.
    """

    at: float
    result: TrainPartResult | None = None
    stopped: bool = False
    error: str | None = None
    code: str | None = None
    retry_in_s: float | None = None

    @property
    def has_succeeded(self) -> bool:
        """Whether the rank trained to the end."""
        return not self.stopped and self.error is None

    def as_error(self, rank: int) -> Exception:
        """The exception that ended the rank."""
        if self.stopped:
            return Stopped(f"rank {rank} was stopped")
        if self.code is not None:
            return PartError(self.code, self.error or "", retry_in_s=self.retry_in_s)
        return RuntimeError(f"rank {rank}: {self.error}")


def outcome_of(work: Callable[[], TrainPartResult | None]) -> RankOutcome:
    """Do the work of a rank; an exception becomes an outcome."""
    try:
        result = work()
    except Stopped:
        return RankOutcome(at=time.time(), stopped=True)
    except PartError as error:
        return RankOutcome(at=time.time(), error=str(error), code=error.code, retry_in_s=error.retry_in_s)
    except Exception as error:
        log.error("rank_crashed", error=traceback.format_exc(limit=12))
        return RankOutcome(at=time.time(), error=f"{type(error).__name__}: {first_line(error)}")
    return RankOutcome(at=time.time(), result=result)


def write_outcome(outcome: RankOutcome, folder: Path) -> None:
    """Store the outcome in the folder of the rank. The first one that is stored stays."""
    path = folder / _OUTCOME_FILE
    if not path.exists():
        draft = path.with_suffix(".part")
        draft.write_text(outcome.model_dump_json(exclude_unset=True), encoding="utf-8")
        draft.rename(path)


def read_outcome(folder: Path) -> RankOutcome | None:
    """The outcome of the rank with this folder; None if it wrote none."""
    try:
        return RankOutcome.model_validate_json((folder / _OUTCOME_FILE).read_bytes())
    except FileNotFoundError:
        return None


def train_in_ranks(claim: Claim, lease: LeaseRenewal, spec: DistillSpec, folder: Path) -> TrainPartResult:
    """Train with `spec.nproc` ranks. Raises Stopped, and PartError for the errors of a rank and for a lost rank."""
    check_gpus(spec.config, spec.nproc)
    launch = ["--standalone", "--nproc-per-node", str(spec.nproc)]
    run_torchrun(launch, claim, lease, spec.config, folder, state_key=claim.state_key)
    return result_of(read_outcomes(folder, range(spec.nproc)), should_stop=lease.should_stop())


def run_torchrun(
    launch: list[str],
    claim: Claim,
    lease: LeaseRenewal,
    config: TrainConfig,
    folder: Path,
    *,
    state_key: str | None,
    is_over: Callable[[], bool] = lambda: False,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> bool:
    """Run torchrun with the options `launch` until all its ranks have ended.

    They resume from the training state `state_key`, and are asked to end when the part should stop or `is_over`.
    Returns whether they were because of `is_over`. `environment`: added to that of this process.
    """
    command = [sys.executable, "-m", "torch.distributed.run", *launch, "--shutdown-timeout", str(SHUTDOWN_S)]
    command += ["-m", "workers.gpu.rank", claim.part_id, claim.token, str(folder)]
    command += ["--state", state_key] if state_key else []
    with subprocess.Popen(
        command, env={**_environment(config), **environment}, preexec_fn=end_with_parent(signal.SIGKILL)
    ) as torchrun:
        try:
            return _wait(torchrun, lease, is_over)
        finally:
            torchrun.kill()


def read_outcomes(folder: Path, ranks: range) -> list[RankOutcome | None]:
    """How these ranks ended; None for a rank that was lost."""
    return [read_outcome(folder / f"rank-{rank}") for rank in ranks]


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


def _environment(config: TrainConfig) -> dict[str, str]:
    """The environment of the ranks: that of this process, without its GPUs for a training on the CPU.

    torch's C++ code warns of a choice that `distill.training.distributed` makes for an exact resume.
    """
    environment = {"TORCH_CPP_LOG_LEVEL": "ERROR"} | dict(os.environ)
    return environment | ({"CUDA_VISIBLE_DEVICES": ""} if config.system.device == "cpu" else {})


def _wait(torchrun: "subprocess.Popen[bytes]", lease: LeaseRenewal, is_over: Callable[[], bool]) -> bool:
    """Wait until all ranks have ended; ask them to save their state and end when the part should stop or `is_over`.

    Returns whether they were asked because of `is_over`. torchrun does not see SIGTERM while it waits for the torchrun
    of another machine: if it does not end in time, it is killed, and its ranks with it.
    """
    was_over = False
    kill_at: float | None = None
    while torchrun.poll() is None:
        if kill_at is None and ((was_over := not lease.should_stop() and is_over()) or lease.should_stop()):
            kill_at = time.monotonic() + SHUTDOWN_S + _KILL_MARGIN_S
            torchrun.terminate()
        if kill_at is not None and time.monotonic() > kill_at:
            torchrun.kill()
        time.sleep(_POLL_S)
    return was_over


def result_of(outcomes: list[RankOutcome | None], *, first_rank: int = 0, should_stop: bool) -> TrainPartResult:
    """The result of the first rank of this machine, which is `first_rank`; `outcomes` are by rank, None for a lost one.

    Raises Stopped if the part should stop. Else raises the error of the part, if a rank had one, PartError for a lost
    rank, or what ended the first of the ranks: the others end because of it.
    """
    first = outcomes[0]
    if first is not None and first.result is not None:
        return first.result
    if should_stop:
        raise Stopped("the ranks were stopped")
    by_rank = ((rank, outcome) for rank, outcome in enumerate(outcomes, first_rank) if outcome is not None)
    ended = sorted(by_rank, key=lambda one: one[1].at)
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
