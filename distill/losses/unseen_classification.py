"""Targets synthesised for labels without an image, from nothing but their texts (after OGEN, arXiv:2401.15914).

For each image of label y and each of the unseen labels u whose text is nearest to y's, a feature of u is extrapolated
as f = s + t_u - t_y and classified among all labels, CE(f [t, t_u]^T / temperature, u), mean over both; all
normalised. OGEN trains a generator for this; a difference of texts needs none, and the gap between texts and images
is not in it.

Whoever gives this term a weight tells the student which labels it will be asked about: its accuracy on them is no
longer that on labels it never heard of. It sees no image of them. B images, K labels, U unseen labels, D embedding
width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def unseen_classification(
    student: Tensor, texts: Tensor, labels: Tensor, unseen: Tensor, *, temperature: float, neighbours: int
) -> Tensor:
    """Cross-entropy of features extrapolated from `student` (B, D), among `texts` (K, D) and `unseen` (U, D).

    `labels` (B,) int64; each image stands for its label's `neighbours` nearest unseen labels, all U if there are fewer.
    """
    with no_autocast(student):
        s, t, u = (F.normalize(to_full_precision(x), dim=-1) for x in (student, texts, unseen))
        of_label = (t.detach() @ u.detach().T).topk(min(neighbours, len(u)), dim=-1).indices  # (K, n)
        chosen = of_label[labels]  # (B, n)
        made = s[:, None] - t[labels][:, None] + u[chosen]  # (B, n, D)
        logits = F.normalize(made, dim=-1) @ torch.cat([t, u]).T / temperature  # (B, n, K + U)
        return F.cross_entropy(logits.flatten(0, 1), (chosen + len(t)).flatten())
