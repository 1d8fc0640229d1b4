"""The threshold of "none of these" keeps the images of labels, and its rate holds for images that did not set it."""

import numpy as np
import pytest
import torch

from distill.evaluation.none_of_these import MIN_IMAGES, TARGET_RATE, none_of_these, threshold_of


def features_with(cosines: torch.Tensor) -> torch.Tensor:
    """Features (N, 2) whose largest cosine to the text (1, 0) is given."""
    return 3 * torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1)


TEXTS = torch.tensor([[2.0, 0.0], [-1.0, 0.0]])


def test_an_image_is_judged_by_its_closest_text() -> None:
    cosines = torch.linspace(0.1, 0.9, 100)
    found = none_of_these(features_with(cosines), TEXTS)
    assert found is not None
    assert found.threshold == pytest.approx(0.1 + 0.8 * 5 / 99)
    assert int((cosines < found.threshold - 1e-6).sum()) == 100 * TARGET_RATE
    assert (found.score, found.target_rate, found.num_images) == ("cosine", 0.05, 100)


def test_the_rate_is_measured_on_images_that_did_not_set_the_threshold() -> None:
    """Every second image is low: the threshold of the high ones calls all the others none, and the reverse none."""
    cosines = torch.tensor([0.9, 0.1]).repeat(50) + torch.linspace(0, 0.01, 100)
    found = none_of_these(features_with(cosines), TEXTS)
    assert found is not None
    assert found.false_alarm_rate == pytest.approx(0.5)
    assert float((cosines < found.threshold).float().mean()) <= TARGET_RATE + 0.01


def test_new_images_are_called_none_at_the_stated_rate() -> None:
    random = torch.Generator().manual_seed(0)
    many = 0.5 + 0.1 * torch.randn(4000, generator=random)
    found = none_of_these(features_with(many[:400]), TEXTS)
    assert found is not None
    assert float((many[400:] < found.threshold).float().mean()) == pytest.approx(found.false_alarm_rate, abs=0.03)


def test_few_images_set_no_threshold() -> None:
    features = features_with(torch.linspace(0.1, 0.9, MIN_IMAGES))
    assert none_of_these(features[1:], TEXTS) is None
    assert none_of_these(features, TEXTS) is not None


def test_an_image_of_several_labels_counts_once() -> None:
    features, numbers = features_with(torch.linspace(0.1, 0.9, 30)), np.arange(30) // 2
    assert none_of_these(features, TEXTS, numbers) is None
    doubled = features.repeat_interleave(2, dim=0)
    assert none_of_these(doubled, TEXTS, np.arange(60) // 2) == none_of_these(features, TEXTS)


def test_no_more_than_the_target_is_below_the_threshold() -> None:
    scores = np.array([0.3] * 10 + [0.5] * 10, dtype=np.float32)
    assert threshold_of(scores) == pytest.approx(0.3)
