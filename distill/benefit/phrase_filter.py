"""Optional filter: drops phrases that the training images contradict; rejected if held-out accuracy would fall.

For a seen label, a phrase is kept if it moves the label's text towards the label's training images, relative to those
of the nearest other label, by at least as much as the bare name does. Only training images are used; unseen labels
have none and keep all their phrases. K labels, D embedding width, S seen labels, P phrases of a label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints

MIN_KEPT = 2


@dataclass(frozen=True, kw_only=True)
class PhraseFilterResult:
    """The phrase texts to drop, as rendered, by label; `refused`: the reason why none are dropped.

    `before`, `after`: mean per-class accuracy on held-out images of seen labels, with and without these phrases.
    """

    dropped: dict[int, list[str]]
    before: float
    after: float
    refused: str = ""

    @property
    def num_dropped(self) -> int:
        """Number of phrases of all labels."""
        return sum(map(len, self.dropped.values()))


def class_prototypes(features: Tensor, labels: Ints) -> dict[int, Tensor]:
    """Label -> the normalised mean (D,) of the normalised features of its training images."""
    unit = F.normalize(features.float(), dim=-1)
    return {
        int(label): F.normalize(unit[torch.from_numpy(labels == label)].mean(dim=0), dim=-1)
        for label in np.unique(labels)
    }


def contradicted_phrases(
    prototypes: Mapping[int, Tensor], names: Tensor, phrases: Mapping[int, Tensor], *, min_kept: int = MIN_KEPT
) -> dict[int, list[int]]:
    """Seen label -> indices of the phrases to drop; a label always keeps its best `min_kept` phrases.

    `prototypes`: (D,) by seen label; `names`: (K, D) features of the bare names; `phrases`: by label, (P, D) features
    of its name with each phrase. All normalised.
    """
    labels = sorted(prototypes)
    if len(labels) < 2:
        return {}
    images = torch.stack([prototypes[label] for label in labels])  # (S, D)
    dropped: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        texts = phrases.get(label)
        if texts is None or len(texts) <= min_kept:
            continue
        similarity = torch.cat([names[label][None], texts]) @ images.T  # (1 + P, S)
        nearest = similarity.clone()
        nearest[:, place] = -torch.inf
        margin = similarity[:, place] - nearest.max(dim=1).values  # (1 + P,)
        is_worse = (margin[1:] < margin[0]).tolist()
        kept = set(margin[1:].argsort(descending=True)[:min_kept].tolist())
        if indices := [index for index, worse in enumerate(is_worse) if worse and index not in kept]:
            dropped[label] = indices
    return dropped


def drop_phrases(texts: Sequence[tuple[str, ...]], dropped: Mapping[int, Sequence[int]]) -> list[tuple[str, ...]]:
    """The texts of each label, one per phrase, without the dropped ones."""
    return [
        tuple(text for index, text in enumerate(own) if index not in set(dropped.get(label, ())))
        for label, own in enumerate(texts)
    ]
