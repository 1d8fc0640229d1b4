"""The nearest labels of each label by cosine of their text features, without holding the whole K x K matrix.

K labels, D embedding width, k nearest labels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STRIP = 2**24  # entries of the similarity matrix held at a time: 64 MiB


def nearest_labels(features: Tensor, k: int, *, strip: int = STRIP) -> Tensor:
    """Indices (K, min(k, K - 1)) int64, nearest first, of the other labels most similar by `features` (K, D)."""
    features = F.normalize(features.float(), dim=-1)
    num_labels = len(features)
    k = min(k, num_labels - 1)
    nearest = torch.empty((num_labels, k), dtype=torch.int64)
    rows = max(1, strip // max(1, num_labels))
    for start in range(0, num_labels, rows):
        similar = features[start : start + rows] @ features.T  # (rows, K)
        diagonal = torch.arange(len(similar), device=similar.device)
        similar[diagonal, diagonal + start] = -torch.inf
        nearest[start : start + rows] = similar.topk(k, dim=1).indices.cpu()
    return nearest


def nearest_pairs(nearest: Tensor) -> list[tuple[int, int]]:
    """The distinct pairs (low, high), ascending, in which one label is among the `nearest` (K, k) of the other."""
    num_labels, k = nearest.shape
    one = torch.arange(num_labels).repeat_interleave(k)
    other = nearest.flatten()
    codes = torch.minimum(one, other) * num_labels + torch.maximum(one, other)
    return [(code // num_labels, code % num_labels) for code in torch.unique(codes).tolist()]
