"""A projector between the student's features and the teacher's, for the terms of image features alone; dropped at the
end.

With it these terms (`mse`, `im_cst`, `queue_kl`, `fd`, `neighbour`) compare g(s) with the teacher's features, while
terms of texts compare s itself, which is what the delivered student gives: the student need not give up what texts ask
of it to copy a feature exactly. g starts as the identity, so that the first step is that of a run without it. `linear`:
g(s) = W s. `mlp`: g(s) = s + B gelu(A s), B at zero (after the projection heads of SimCLR, arXiv:2002.05709). B images,
D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.config.sections.objective import ProjectorKind

HIDDEN = 2


class Projector(nn.Module):
    """g for features of `width` D. `seed`: of A, which is normal with variance 1 / D."""

    def __init__(self, kind: ProjectorKind, width: int, *, seed: int) -> None:
        super().__init__()
        self.kind = kind
        if kind == "linear":
            self.weight = nn.Parameter(torch.eye(width))
            return
        generator = torch.Generator().manual_seed(seed)
        self.hidden = nn.Parameter(torch.randn(HIDDEN * width, width, generator=generator) / width**0.5)
        self.out = nn.Parameter(torch.zeros(width, HIDDEN * width))

    def forward(self, features: Tensor) -> Tensor:
        """g of `features` (B, D) float32: (B, D)."""
        if self.kind == "linear":
            return features @ self.weight.T
        return features + F.gelu(features @ self.hidden.T) @ self.out.T
