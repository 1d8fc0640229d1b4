"""Several processes on one run: `torchrun --nproc-per-node 2 -m distill …`, a process for each GPU (or on the CPU).

A batch is what the config says, however many ranks there are: each rank takes its share of the rows, in the order of
the ranks, and works out the objective on the features of all of them (`distill.losses.gather`), so that a contrast has
the same negatives as in one process and the gradients, averaged by DistributedDataParallel, are those of the joined
batch. The first rank alone makes what is cached, saves, logs and bundles.
Batch norm sees the joined batch on GPUs (SyncBatchNorm); torch has none for the CPU, where each rank's normalises its
own share. The environment of torchrun (RANK, WORLD_SIZE, LOCAL_RANK) says who is who.
"""

import copy
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# While the first rank prepares data the others wait. torchrun ends them all when one dies: nobody waits in vain.
PATIENCE = timedelta(days=7)


@dataclass(frozen=True)
class Ranks:
    """Who this process is: `rank` of `count`. `control`: the group in which words about the run are passed."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    control: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the rank that saves, logs and bundles."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """This rank's own of the machine's devices of a kind."""
        return torch.device("cuda", self.local_rank) if device.type == "cuda" and self.count > 1 else device

    def share(self, size: int) -> slice:
        """This rank's rows of a batch of `size`, which the number of ranks divides."""
        own = size // self.count
        return slice(self.rank * own, (self.rank + 1) * own)

    def any(self, flag: bool) -> bool:
        """Whether any rank says yes; every rank must ask."""
        if self.count == 1:
            return flag
        said = torch.tensor([flag], dtype=torch.uint8)
        dist.all_reduce(said, dist.ReduceOp.MAX, group=self.control)
        return bool(said.item())

    def wait(self) -> None:
        """Until every rank is here."""
        if self.count > 1:
            dist.barrier(group=self.control)

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """What the block leaves in caches is made by the first rank, and found by the others."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def own_copy(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model to train: itself, or with several ranks on GPUs a copy whose batch norms see the joined batch."""
        if self.count == 1 or device.type != "cuda":
            return model
        joined: nn.Module = convert_sync_batchnorm(copy.deepcopy(model))  # type: ignore[no-untyped-call]
        return joined

    def parallel(self, model: nn.Module, device: torch.device) -> nn.Module:
        """What to call in the place of `model`, so that gradients become the mean over ranks."""
        if self.count == 1:
            return model
        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def gradients_later(self, parallel: nn.Module, later: bool) -> AbstractContextManager[None]:
        """While `later`, gradients are only added up on each rank, for a backward pass to come."""
        if later and isinstance(parallel, DistributedDataParallel):
            return parallel.no_sync()
        return nullcontext()

    def mean_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Of parameters that are no part of what `parallel` gave."""
        if self.count > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.count


ALONE = Ranks()
_current = ALONE


def current() -> Ranks:
    """Who this process is: alone, unless inside `joined`."""
    return _current


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes that torchrun started, if it did, for as long as the outermost block lasts."""
    global _current
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1 or dist.is_initialized():
        yield _current
        return
    local_rank = int(os.environ["LOCAL_RANK"])
    gpus = torch.cuda.is_available()
    if gpus:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    try:
        control = dist.new_group(backend="gloo", timeout=PATIENCE)
        _current = Ranks(dist.get_rank(), count, local_rank, control)
        yield _current
    finally:
        _current = ALONE
        dist.destroy_process_group()
