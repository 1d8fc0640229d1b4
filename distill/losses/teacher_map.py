"""A task-tuned teacher: a linear map on its image features, learned on seen labels and pulled to the identity.

min_W mean CE(s (v W / |v W|) t^T, y) + pull / D |W - I|^2, v and t normalised, s the teacher's logit scale, from W = I
by L-BFGS in float64. The texts stay what they are, so that the map changes what a student learns and not what it is
compared with. It fits the labels that it sees: its accuracy on unseen labels can fall, and has to be measured. After
CLIP-Adapter (arXiv:2110.04544), whose residual ratio the pull replaces. N images, K labels, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_STEPS = 100


def fitted_map(features: Tensor, labels: Tensor, texts: Tensor, *, scale: float, pull: float) -> Tensor:
    """W (D, D) float32 for `features` (N, D) of images with `labels` (N,) int64, rows of `texts` (K, D).

    `pull` > 0: the weight of the distance to the identity.
    """
    v, t = (F.normalize(given.detach().cpu().double(), dim=1) for given in (features, texts))
    identity = torch.eye(v.shape[1], dtype=torch.float64)
    change = torch.zeros_like(identity, requires_grad=True)
    optimizer = torch.optim.LBFGS([change], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = scale * F.normalize(v @ (identity + change), dim=1) @ t.T  # (N, K)
        value = F.cross_entropy(logits, labels.cpu()) + pull / len(identity) * change.square().sum()
        torch.autograd.backward(value)
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return (identity + change).detach().float()
