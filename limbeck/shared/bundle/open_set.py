"""The open-set scores by which a student says "none of these", and the file with the texts that one of them needs.

    cosine      max_k s.t_k
    energy      tau log sum_k exp(s.t_k / tau)
    outliers    max_k p_k - 0.25 max_m p_m, p = softmax over labels k and look-alikes m of s.t / tau

s image feature, t text features, all normalised; tau temperature of the training. `distill.evaluation.open_set.scores`
has their sources, and measures them; `limbeck.classify.open_set` computes them without torch.
"""

from typing import Literal, get_args

OpenSetScore = Literal["cosine", "energy", "outliers"]
OPEN_SET_SCORES: tuple[OpenSetScore, ...] = get_args(OpenSetScore)
OUTLIER_WEIGHT = 0.25
OUTLIERS_FILE = "targets/outliers.safetensors"
"""Text features (M, D) of the look-alikes, under the name `features`."""
