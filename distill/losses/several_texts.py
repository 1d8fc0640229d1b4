"""L-cls with several texts for each label: a label counts as much as its texts on average, not as their mean feature.

CE(z, y), z_k = log mean_{t of label k} exp(s t^T / temperature), s and t normalised; with class weights w, the mean
over images is weighted by w[y]. An image may thus be close to one text of its label (`a white ring`) and far from
another that its picture does not show. With one text for each label it is L-cls (arXiv:2307.03135). B images, K labels,
N texts of all labels, D embedding width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.losses.precision import no_autocast, to_full_precision


def several_texts(
    student: Tensor,
    label_texts: Tensor,
    text_labels: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    *,
    temperature: float,
) -> Tensor:
    """Cross-entropy of `student` (B, D) among labels by their `label_texts` (N, D), mean over images; at least 0.

    `text_labels` (N,) int64: the label of each text, each of 0 to K - 1 at least once. `labels` (B,) int64 within
    [0, K). `class_weights` (K,): weights of the mean by label.
    """
    with no_autocast(student):
        s, t = F.normalize(to_full_precision(student), dim=-1), F.normalize(to_full_precision(label_texts), dim=-1)
        similarity = s @ t.T / temperature  # (B, N)
        num_texts = torch.bincount(text_labels)  # (K,)
        of_label = text_labels.expand_as(similarity)
        # The largest similarity of each label is taken out of the exponentials, which then neither over- nor underflow.
        lowest = similarity.new_full((len(s), len(num_texts)), float("-inf"))
        largest = lowest.scatter_reduce(1, of_label, similarity.detach(), "amax")  # (B, K)
        powers = (similarity - largest.gather(1, of_label)).exp()
        logits = torch.zeros_like(largest).index_add(1, text_labels, powers).log() + largest - num_texts.log()  # (B, K)
        return F.cross_entropy(logits, labels, weight=class_weights)
