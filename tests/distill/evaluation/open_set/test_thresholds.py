"""Thresholds of other scores than the cosine, by hand."""

import math

import pytest
import torch

from distill.evaluation.none_of_these import MIN_IMAGES
from distill.evaluation.open_set.thresholds import thresholds_by_score

TEMPERATURE = 0.5
KNOWN = torch.eye(3)[:2]
OUTLIERS = 4 * torch.eye(3)[2:]


def features_with(cosines: torch.Tensor) -> torch.Tensor:
    """Features (N, 3) with these cosines to the first label, 0 to the second, and the rest to the outlier."""
    return 2 * torch.stack([cosines, torch.zeros_like(cosines), (1 - cosines**2).sqrt()], dim=1)


COSINES = 0.05 * torch.arange(1, MIN_IMAGES + 1)


def test_thresholds_are_those_of_the_formulas() -> None:
    """Of 20 images, the second has the threshold: its cosine is 0.1. Each half is judged by the other half's least."""
    found = thresholds_by_score(features_with(COSINES.flip(0)), KNOWN, None, temperature=TEMPERATURE, outliers=OUTLIERS)
    assert found["energy"].threshold == pytest.approx(0.5 * math.log(math.exp(0.1 / 0.5) + 1), abs=1e-6)
    assert found["energy"].threshold == pytest.approx(0.39908, abs=1e-4)
    # exp(0.2) = 1.221403, exp(0) = 1 and exp(0.994987 / 0.5) = 7.315355 are 0.128073, 0.104858 and 0.767069 of the sum.
    assert found["outliers"].threshold == pytest.approx(0.128073 - 0.25 * 0.767069, abs=1e-5)
    for name, one in found.items():
        assert (one.score, one.num_images, one.target_rate) == (name, 20, 0.05)
        assert one.false_alarm_rate == 1 / 20  # the image of cosine 0.05, below the least of the other half, 0.1


def test_few_images_set_no_threshold_and_outliers_are_needed_for_theirs() -> None:
    features = features_with(COSINES)
    assert thresholds_by_score(features[1:], KNOWN, None, temperature=TEMPERATURE) == {}
    assert set(thresholds_by_score(features, KNOWN, None, temperature=TEMPERATURE)) == {"energy"}


def test_an_image_of_several_labels_counts_once() -> None:
    doubled, numbers = features_with(COSINES).repeat_interleave(2, dim=0), torch.arange(40).numpy() // 2
    once = thresholds_by_score(features_with(COSINES), KNOWN, None, temperature=TEMPERATURE)
    assert thresholds_by_score(doubled, KNOWN, numbers, temperature=TEMPERATURE) == once
