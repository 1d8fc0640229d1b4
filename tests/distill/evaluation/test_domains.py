"""Accuracy under domain shift: domain and training domain are classified among the labels that both have."""

import numpy as np
import pytest
import torch

from distill.evaluation.domains import DomainImages, domain_shift

NAMES = ("crane", "heron", "stork", "ibis")
TEXTS = torch.eye(4)


def images(name: str, rows: list[tuple[int, int]]) -> DomainImages:
    """Images of labels that are closest to the text of another: (label, closest)."""
    labels, closest = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return DomainImages(name=name, features=TEXTS[torch.from_numpy(closest)], labels=labels)


PHOTOS = images("photos", [(0, 0), (0, 0), (1, 1), (1, 2), (2, 2), (3, 3)])


def test_the_drop_is_measured_on_shared_labels() -> None:
    sketches = images("sketches", [(0, 0), (0, 1), (1, 0), (1, 1)])
    paintings = images("paintings", [(0, 0), (1, 1), (2, 2), (3, 1)])
    found = domain_shift(PHOTOS, [sketches, paintings], TEXTS, (0, 1, 2, 3), names=NAMES, temperature=0.07)
    assert found is not None
    first, second = found.domains
    # Among crane and heron alone, the photo of a heron that is nearest to the text of storks ties; it is not right.
    assert (first.name, first.accuracy, first.num_labels, first.num_images) == ("sketches", 0.5, 2, 4)
    assert second.accuracy == pytest.approx(0.75)
    assert second.training_domain == pytest.approx((1 + 0.5 + 1 + 1) / 4)
    assert second.drop == pytest.approx(second.training_domain - 0.75)
    assert found.mean == pytest.approx((0.5 + 0.75) / 2)
    assert (found.worst, found.worst_accuracy) == ("sketches", 0.5)
    assert found.mean_drop == pytest.approx(np.mean([first.drop, second.drop]))


def test_only_labels_of_the_part_are_measured() -> None:
    sketches = images("sketches", [(0, 0), (3, 2)])
    found = domain_shift(PHOTOS, [sketches], TEXTS, (0, 1), names=NAMES, temperature=0.07)
    assert found is not None
    assert (found.domains[0].num_labels, found.domains[0].num_images) == (1, 1)


def test_a_domain_without_shared_labels_is_left_out() -> None:
    training = images("photos", [(0, 0)])
    found = domain_shift(training, [images("sketches", [(3, 3)])], TEXTS, (0, 3), names=NAMES, temperature=0.07)
    assert found is None
