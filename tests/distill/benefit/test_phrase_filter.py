"""The phrase filter: contradicted phrases are dropped, and the best phrases of a label stay."""

import numpy as np
import torch
from torch.nn.functional import normalize

from distill.benefit.phrase_filter import class_prototypes, contradicted_phrases, drop_phrases


def test_contradicted_phrases_are_dropped_and_the_best_two_stay() -> None:
    axis = torch.eye(4)
    prototypes = {0: axis[0], 2: axis[1]}
    right, wrong = normalize(axis[0] + axis[3], dim=-1), normalize(axis[1] + axis[0] / 2, dim=-1)
    names = torch.stack([normalize(axis[0] + axis[1] / 2, dim=-1)] * 3)
    phrases = {0: torch.stack([right, wrong, right, right]), 1: torch.stack([wrong] * 3), 2: torch.stack([right] * 3)}
    assert contradicted_phrases(prototypes, names, phrases) == {0: [1], 2: [2]}
    assert contradicted_phrases({0: axis[0]}, names, phrases) == {}
    assert drop_phrases([("a", "b", "c"), ("d",)], {0: [1]}) == [("a", "c"), ("d",)]


def test_prototypes_are_normalised_means_by_label() -> None:
    axis = torch.eye(4)
    prototypes = class_prototypes(torch.stack([axis[0], 3 * axis[0], axis[1]]), np.array([5, 5, 7]))
    assert sorted(prototypes) == [5, 7]
    torch.testing.assert_close(prototypes[5], axis[0])
