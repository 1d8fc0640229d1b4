"""Runs the ONNX files of a bundle, to compare them with torch. B inputs, D embedding width."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from distill.bundle.verify import BundleError

MIN_COSINE = 0.9999
"""The least cosine between the embeddings of a graph and of torch."""

Embeddings = npt.NDArray[np.float32]


def session(path: Path) -> Any:
    """ONNX Runtime's session of a file, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def cosines(one: Embeddings, other: Embeddings) -> Embeddings:
    """The cosines (B,) of normalised embeddings (B, D)."""
    products: Embeddings = (one * other).sum(axis=1)
    return products


def check_cosine(name: str, found: Embeddings, expected: Tensor) -> None:
    """Raise BundleError unless the embeddings (B, D) of the file `name` point where torch's features do."""
    normalised = torch.nn.functional.normalize(expected.float(), dim=-1).cpu().numpy()
    if found.shape != normalised.shape:
        raise BundleError(f"{name} gives embeddings of shape {found.shape}, not {normalised.shape}")
    least = float(cosines(found, normalised).min())
    if not least >= MIN_COSINE:  # also for a value that is not a number
        raise BundleError(f"{name} differs from torch: cosine {least:.6f} is below {MIN_COSINE}")
