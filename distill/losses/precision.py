"""Precision of the loss terms: at least float32, also under autocast."""

import torch
from torch import Tensor


def to_full_precision(features: Tensor) -> Tensor:
    """Converts float16 and bfloat16 to float32; float32 and float64 stay."""
    return features.float() if features.dtype in (torch.float16, torch.bfloat16) else features


def no_autocast(features: Tensor) -> torch.autocast:
    """A context without autocast on the device of `features`."""
    return torch.autocast(features.device.type, enabled=False)
