"""Phrases that the training images speak against, left out: opt-in, and refused where held-out images lose by it.

For a seen label, a phrase is kept that brings the text closer to the label's training images than to those of the label
that it is most often near to, by at least as much as the bare name does. Only training images are looked at; unseen
labels have none and keep all their phrases. K labels, D embedding width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.counter_rng import Ints

LEAST_KEPT = 2


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """Which texts of phrases to leave out, as rendered, by label; `refused` says why none are to be.

    Accuracies are means per class on held-out images of seen labels, told by phrases, before and after.
    """

    dropped: dict[int, list[str]]
    before: float
    after: float
    refused: str = ""

    @property
    def num_dropped(self) -> int:
        """Phrases in all."""
        return sum(map(len, self.dropped.values()))


def prototypes(features: Tensor, labels: Ints) -> dict[int, Tensor]:
    """Label → the normalised mean (D,) of its training images' normalised features."""
    unit = F.normalize(features.float(), dim=-1)
    return {
        int(label): F.normalize(unit[torch.from_numpy(labels == label)].mean(dim=0), dim=-1)
        for label in np.unique(labels)
    }


def spoken_against(
    seen: Mapping[int, Tensor], names: Tensor, phrases: Mapping[int, Tensor], *, least: int = LEAST_KEPT
) -> dict[int, list[int]]:
    """By seen label, the places of phrases to leave out; a label keeps its best `least` whatever they do.

    `seen`: prototypes (D,) by label; `names`: (K, D) features of the bare names; `phrases`: by label, (P, D) features
    of its name with each phrase. All normalised.
    """
    labels = sorted(seen)
    if len(labels) < 2:
        return {}
    images = torch.stack([seen[label] for label in labels])  # (S, D)
    dropped: dict[int, list[int]] = {}
    for place, label in enumerate(labels):
        told = phrases.get(label)
        if told is None or len(told) <= least:
            continue
        similarity = torch.cat([names[label][None], told]) @ images.T  # (1 + P, S)
        own = similarity[:, place]
        nearest = similarity.clone()
        nearest[:, place] = -torch.inf
        margin = own - nearest.max(dim=1).values
        worse = (margin[1:] < margin[0]).tolist()
        keep = set(margin[1:].argsort(descending=True)[:least].tolist())
        if gone := [at for at, is_worse in enumerate(worse) if is_worse and at not in keep]:
            dropped[label] = gone
    return dropped


def without(texts: Sequence[tuple[str, ...]], dropped: Mapping[int, Sequence[int]]) -> list[tuple[str, ...]]:
    """Each label's texts, one for each phrase, without those that are left out."""
    return [
        tuple(text for at, text in enumerate(own) if at not in set(dropped.get(label, ())))
        for label, own in enumerate(texts)
    ]
