"""Memory of the GPU, as a gauge of the running part."""

from collections.abc import Mapping

import torch


def gpu_memory() -> Mapping[str, float]:
    """`gpu_memory_bytes`: the most that this process's tensors took so far; empty if it has not used a GPU."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {}
    return {"gpu_memory_bytes": float(torch.cuda.max_memory_allocated())}
