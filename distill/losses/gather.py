"""Rows of all ranks, in the order of the ranks, with the gradient that each rank's own rows have in all of them.

B rows of a rank, W ranks. Without `torch.distributed`, or with one rank, the rows are given back as they are.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(rows: Tensor) -> Tensor:
    """`rows` (B, ...) of every rank as one tensor (W * B, ...); B must be the same on all ranks.

    The gradient of a rank's rows is the sum over ranks of theirs: averaged over ranks afterwards, as DDP does, it is
    that of one process which holds all rows.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        everyone = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, rows.contiguous())
        return torch.cat(everyone)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        summed = grads[0].contiguous().clone()
        dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]
