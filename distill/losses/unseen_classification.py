"""Classification of features synthesised for labels without images, from their texts (after OGEN, arXiv:2401.15914).

For each image of label y and each of the n unseen labels u whose texts are closest to the text of y, a feature of u is
extrapolated as f = s + t_u - t_y and classified among all labels: CE(f [t, t_u]^T / temperature, u), mean over both;
all normalised. OGEN trains a generator for f. A difference of texts needs no generator, and the modality gap between
texts and images cancels out.

With this term the student learns the texts of the unseen labels, though it sees no image of them: its accuracy on them
is then no longer zero-shot for these texts. B images, K labels, U unseen labels, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def unseen_classification(
    student: Tensor, texts: Tensor, labels: Tensor, unseen: Tensor, *, temperature: float, num_nearest: int
) -> Tensor:
    """Cross-entropy of features extrapolated from `student` (B, D), among `texts` (K, D) and `unseen` (U, D).

    `labels` (B,) int64. Each image is used for the `num_nearest` unseen labels nearest to its label, at most U.
    """
    with no_autocast(student):
        s, t, u = (F.normalize(to_full_precision(x), dim=-1) for x in (student, texts, unseen))
        nearest = (t.detach() @ u.detach().T).topk(min(num_nearest, len(u)), dim=-1).indices  # (K, n)
        chosen = nearest[labels]  # (B, n)
        extrapolated = s[:, None] - t[labels][:, None] + u[chosen]  # (B, n, D)
        logits = F.normalize(extrapolated, dim=-1) @ torch.cat([t, u]).T / temperature  # (B, n, K + U)
        return F.cross_entropy(logits.flatten(0, 1), (chosen + len(t)).flatten())
