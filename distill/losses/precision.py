"""The number format in which losses are worked out, whatever autocast is doing around them."""

import torch
from torch import Tensor


def to_full_precision(features: Tensor) -> Tensor:
    """Half formats become float32; float32 and float64 stay."""
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features


def no_autocast(features: Tensor) -> torch.autocast:
    """A context in which autocast leaves products on the device of `features` alone."""
    return torch.autocast(features.device.type, enabled=False)
