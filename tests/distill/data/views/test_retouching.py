"""Colour and erasing: functions of (seed, pass, image), each as torchvision does it, in the same place at any size."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from distill.config.train_config import Augmentation
from distill.data.crops import sample_views
from distill.data.views.retouching import GREY, Retouching, inside, retouch, sample_retouching

NO_BOX = np.zeros((4, 4))


def crops(side: int = 24) -> torch.Tensor:
    return torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0)) * 255


def sampled(images: np.ndarray, *, seed: int = 0, pass_index: int = 0, colour: float = 0.4) -> Retouching:
    retouching = sample_retouching(seed, pass_index, images, Augmentation(colour=colour, erase=0.25))
    assert retouching is not None
    return retouching


def test_a_sample_depends_only_on_seed_pass_and_image() -> None:
    images = np.arange(100)
    every, subset = sampled(images), sampled(images[40:60][::-1])
    np.testing.assert_array_equal(every.factors[40:60][::-1], subset.factors)
    np.testing.assert_array_equal(every.erased[40:60][::-1], subset.erased)
    for other in (sampled(images, seed=1), sampled(images, pass_index=1)):
        assert (other.factors != every.factors).all()


def test_factors_and_rectangles_are_distributed_as_configured() -> None:
    retouching = sampled(np.arange(20_000))
    assert 0.6 <= retouching.factors.min() < 0.61
    assert 1.39 < retouching.factors.max() <= 1.4
    left, top, width, height = retouching.erased.T
    assert (width > 0).mean() == pytest.approx(0.25, abs=0.01)
    area = (width * height)[width > 0]
    assert area.max() <= 0.33 + 1e-9
    assert area.mean() == pytest.approx(0.175, abs=0.01)
    assert ((left >= 0) & (top >= 0) & (left + width <= 1 + 1e-9) & (top + height <= 1 + 1e-9)).all()


def test_no_retouching_leaves_a_view_as_it_was() -> None:
    assert sample_retouching(0, 0, np.arange(3), Augmentation()) is None
    plain = sample_views(0, 0, np.arange(9), image_px=32, augmentation=Augmentation())
    strong = sample_views(0, 0, np.arange(9), image_px=32, augmentation=Augmentation(colour=0.4, erase=0.5))
    assert plain.retouching is None
    assert strong.retouching is not None
    np.testing.assert_array_equal(plain.boxes, strong.boxes)
    np.testing.assert_array_equal(plain.flips, strong.flips)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_each_factor_is_torchvisions_adjustment(at: int) -> None:
    adjust = (transforms.adjust_brightness, transforms.adjust_contrast, transforms.adjust_saturation)[at]
    images, factors = crops(), np.ones((4, 3))
    factors[:, at] = [0.2, 0.8, 1.0, 1.7]
    found = retouch(images, Retouching(factors, NO_BOX))
    for image, own, factor in zip(images, found, factors[:, at], strict=True):
        torch.testing.assert_close(own / 255, adjust(image / 255, factor), atol=1e-3, rtol=0)


def test_the_rectangle_is_the_same_share_at_every_size() -> None:
    box = np.array([[0.25, 0.5, 0.5, 0.25]] * 4)
    for side in (16, 32):
        erased = retouch(crops(side), Retouching(np.ones((4, 3)), box))
        inner = erased[:, :, side // 2 : side * 3 // 4, side // 4 : side * 3 // 4]
        assert (inner == GREY).all()
        assert int((erased == GREY).all(dim=1).sum()) == 4 * (side // 4) * (side // 2)
    assert not inside(NO_BOX, crops()).any()
