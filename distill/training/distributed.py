"""Training with several processes: `torchrun --nproc-per-node 2 -m distill …`, one rank for each GPU (or on the CPU).

The batch size of the config is that of all ranks together. Each rank takes its rows of the batch, in rank order, and
computes the objective on the features of all ranks (`distill.losses.gather`): a contrastive loss has the same negatives
as in one process, and DistributedDataParallel averages the gradients to those of the whole batch. Only the first rank
fills caches, saves states, logs and writes bundles.
On GPUs, batch norm uses the statistics of the whole batch (SyncBatchNorm). torch has no such layer for the CPU, where
each rank normalises its own rows. RANK, WORLD_SIZE and LOCAL_RANK come from torchrun's environment.
"""

import copy
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")

# Ranks wait this long for the first rank to prepare data. If a rank dies, torchrun ends all of them at once.
TIMEOUT = timedelta(days=7)


@dataclass(frozen=True)
class RankGroup:
    """The ranks of a run, seen from rank `rank`. `control`: a CPU process group for flags and barriers."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    control: dist.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this rank saves states, logs and writes bundles."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """The device for this local rank."""
        return torch.device("cuda", self.local_rank) if device.type == "cuda" and self.world_size > 1 else device

    def batch_rows(self, batch_size: int) -> slice:
        """The rows of this rank in a batch of `batch_size`, which must be a multiple of the number of ranks."""
        size = batch_size // self.world_size
        return slice(self.rank * size, (self.rank + 1) * size)

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true on any rank. Every rank must call this."""
        if self.world_size == 1:
            return flag
        flags = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(flags, dist.ReduceOp.MAX, group=self.control)
        return bool(flags.item())

    def from_first(self, value: T) -> T:
        """The first rank's `value`, on every rank. Every rank must call this."""
        if self.world_size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0, group=self.control)
        return values[0]

    def wait(self) -> None:
        """Wait until every rank has called this."""
        if self.world_size > 1:
            dist.barrier(group=self.control)

    @contextmanager
    def first_rank_first(self) -> Iterator[None]:
        """Run the block on the first rank, then on the others, which find the caches filled."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    @contextmanager
    def first_of_machine_first(self) -> Iterator[None]:
        """Run the block on the first rank of each machine, then on the others, which find its caches filled."""
        if self.local_rank != 0:
            self.wait()
        yield
        if self.local_rank == 0:
            self.wait()

    def with_sync_batch_norm(self, model: nn.Module, device: torch.device) -> nn.Module:
        """With several ranks on GPUs, a copy of `model` whose batch norm uses all ranks; else `model` itself."""
        if self.world_size == 1 or device.type != "cuda":
            return model
        converted: nn.Module = convert_sync_batchnorm(copy.deepcopy(model))  # type: ignore[no-untyped-call]
        return converted

    def data_parallel(self, model: nn.Module, device: torch.device, *, exact: bool) -> nn.Module:
        """The module to call instead of `model`, so that its gradients are averaged over ranks.

        `exact`: a resumed run has the same bits. With more than two ranks the order in which an element is summed
        depends on its place in a bucket of gradients, and DistributedDataParallel rearranges the buckets after its
        first step, which is another step of a resumed run. It does not while it looks for unused parameters.
        """
        if self.world_size == 1:
            return model
        device_ids = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=device_ids, find_unused_parameters=exact)

    def without_gradient_sync(self, parallel: nn.Module, enabled: bool) -> AbstractContextManager[None]:
        """While `enabled`, gradients add up on each rank, until a backward pass outside of this averages them."""
        if enabled and isinstance(parallel, DistributedDataParallel):
            return parallel.no_sync()
        return nullcontext()

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average over ranks the gradients of parameters outside the `data_parallel` module."""
        if self.world_size > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.world_size


SINGLE_PROCESS = RankGroup()
_current = SINGLE_PROCESS


def current_ranks() -> RankGroup:
    """The ranks that this process has joined; `SINGLE_PROCESS` outside `join_ranks`."""
    return _current


@contextmanager
def join_ranks() -> Iterator[RankGroup]:
    """Join the process group of torchrun, if torchrun started this process, until the outermost block ends."""
    global _current
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1 or dist.is_initialized():
        yield _current
        return
    local_rank = int(os.environ["LOCAL_RANK"])
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo", timeout=TIMEOUT)
    try:
        control = dist.new_group(backend="gloo", timeout=TIMEOUT)
        assert isinstance(control, dist.ProcessGroup)
        _current = RankGroup(dist.get_rank(), world_size, local_rank, control)
        yield _current
    finally:
        _current = SINGLE_PROCESS
        dist.destroy_process_group()
