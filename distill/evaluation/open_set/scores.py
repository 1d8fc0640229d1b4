"""Open-set scores of images from their cosines with the texts of labels: the larger, the more surely of a known label.

    cosine      max_k s.t_k: the maximum logit (Vaze et al., arXiv:2110.06207), up to the temperature
    energy      tau log sum_k exp(s.t_k / tau): the negative free energy (Liu et al., arXiv:2010.03759)
    outliers    max_k p_k - 0.25 max_m p_m, p = softmax over known labels k and outlier labels m of s.t / tau
                (Cao et al., EOE, arXiv:2406.00806): labels that an LLM proposed, which look like the known ones

s image feature, t text features, all normalised. N images, K known labels, M outlier labels, D embedding width.
"""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.shared.bundle.open_set import OUTLIER_WEIGHT, OpenSetScore

ELEMENTS_AT_ONCE = 32_000_000

Scores = npt.NDArray[np.float64]


def open_set_scores(
    features: Tensor, targets: Tensor, *, temperature: float, outliers: Tensor | None = None
) -> dict[OpenSetScore, Scores]:
    """Each score (N,) of image features (N, D) for known labels with `targets` (K, D); all are normalised here.

    `outliers` (M, D): text features of outlier labels; without them there is no score `outliers`.
    """
    texts = F.normalize(targets.float(), dim=-1)
    if outliers is not None:
        texts = torch.cat([texts, F.normalize(outliers.float(), dim=-1)])
    size = max(1, ELEMENTS_AT_ONCE // len(texts))
    batches = [
        _scores(F.normalize(features[start : start + size].float(), dim=-1) @ texts.T, len(targets), temperature)
        for start in range(0, len(features), size)
    ]
    names = batches[0] if batches else {}
    return {name: torch.cat([batch[name] for batch in batches]).double().numpy() for name in names}


def _scores(cosines: Tensor, num_known: int, temperature: float) -> dict[OpenSetScore, Tensor]:
    """The scores of a batch from its cosines (n, K + M)."""
    known = cosines[:, :num_known]
    scores: dict[OpenSetScore, Tensor] = {
        "cosine": known.max(dim=1).values,
        "energy": temperature * (known / temperature).logsumexp(dim=1),
    }
    if cosines.shape[1] > num_known:
        shares = (cosines / temperature).softmax(dim=1)
        best_known, best_outlier = (part.max(dim=1).values for part in (shares[:, :num_known], shares[:, num_known:]))
        scores["outliers"] = best_known - OUTLIER_WEIGHT * best_outlier
    return scores
