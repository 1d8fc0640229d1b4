"""Weights of the labels in a cross-entropy, by their numbers of training images, so that rare labels count more.

`effective`: the inverse of the effective number of images, (1 - beta) / (1 - beta^n) (Cui et al., arXiv:1901.05555).
K labels.
"""

import torch
from torch import Tensor

from distill.config.train_config import ClassWeights


def class_weights(kind: ClassWeights, num_images: Tensor, *, beta: float) -> Tensor | None:
    """Weights (K,) float32 with mean 1 over the labels that have images; None for equal weights.

    `num_images`: (K,) of each label; the weight of a label without images is 0. `beta`: of `effective`, in [0, 1).
    """
    if kind == "none":
        return None
    n = num_images.double()
    if kind == "effective":
        values = (1 - beta) / (1 - beta ** n.clamp(min=1))
    else:
        values = n.clamp(min=1) ** (-1.0 if kind == "inverse" else -0.5)
    values = torch.where(n > 0, values, 0.0)
    return (values / values.sum() * (n > 0).sum()).float()
