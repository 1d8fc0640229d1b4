"""The nearest labels of each label, by the cosine of their text features; never more than a strip of K x K at a time.

K labels, D embedding width, k neighbours.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STRIP = 2**24  # entries of the similarity matrix at a time: 64 MiB


def nearest_labels(features: Tensor, k: int, *, strip: int = STRIP) -> Tensor:
    """(K, min(k, K - 1)) int64: the labels whose features (K, D) are most like each label's, the nearest first.

    A label is never its own neighbour.
    """
    features = F.normalize(features.float(), dim=-1)
    num_labels = len(features)
    k = min(k, num_labels - 1)
    found = torch.empty((num_labels, k), dtype=torch.int64)
    rows = max(1, strip // max(1, num_labels))
    for start in range(0, num_labels, rows):
        similar = features[start : start + rows] @ features.T  # (rows, K)
        own = torch.arange(len(similar), device=similar.device)
        similar[own, own + start] = -torch.inf
        found[start : start + rows] = similar.topk(k, dim=1).indices.cpu()
    return found


def nearest_pairs(neighbours: Tensor) -> list[tuple[int, int]]:
    """Each pair (low, high) of which one is among the other's `neighbours` (K, k), once, in order."""
    num_labels, k = neighbours.shape
    one = torch.arange(num_labels).repeat_interleave(k)
    other = neighbours.flatten()
    codes = torch.minimum(one, other) * num_labels + torch.maximum(one, other)
    return [(code // num_labels, code % num_labels) for code in torch.unique(codes).tolist()]
