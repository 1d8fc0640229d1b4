"""Gathers the rows of all ranks, in rank order, with the gradient of each rank's own rows.

B rows of a rank, W ranks. Without `torch.distributed`, or with one rank, returns the rows unchanged.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather_rows(rows: Tensor) -> Tensor:
    """`rows` (B, ...) of every rank as one tensor (W * B, ...); B must be equal on all ranks.

    The gradient of a rank's rows is summed over ranks. Averaged over ranks afterwards, as in DDP, it is the gradient of
    one process with all rows.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        rows_by_rank = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(rows_by_rank, rows.contiguous())
        return torch.cat(rows_by_rank)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        summed = grads[0].contiguous().clone()
        dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]
