"""Views: a function of (seed, pass, image), distributed as torchvision's, read as a resized crop would be."""

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as transforms

from distill.config.train_config import Augmentation
from distill.data.counter_rng import random_words, shuffled, uniform
from distill.data.crops import Views, center_crop, crop_views, sample_views
from distill.data.randaugment import rand_augment


def draw(images: np.ndarray, *, seed: int = 0, pass_index: int = 0, flip: bool = True, side_px: int = 64) -> Views:
    return sample_views(
        seed, pass_index, images, side_px=side_px, augmentation=Augmentation(crop_scale=(0.08, 1), flip=flip)
    )


def pictures(count: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_a_view_hangs_on_seed_pass_and_image_alone() -> None:
    images = np.arange(100)
    all_of_them, some = draw(images), draw(images[40:60][::-1])
    np.testing.assert_array_equal(all_of_them.boxes[40:60][::-1], some.boxes)
    np.testing.assert_array_equal(all_of_them.flips[40:60][::-1], some.flips)
    for other in (draw(images, seed=1), draw(images, pass_index=1)):
        assert (other.boxes != all_of_them.boxes).any(axis=1).mean() > 0.95
        assert 0.3 < (other.flips != all_of_them.flips).mean() < 0.7


def test_views_lie_within_the_picture_and_are_spread_as_torchvision_s() -> None:
    left, top, width, height = draw(np.arange(20_000)).boxes.T
    assert left.min() == top.min() == 0
    assert (left + width).max() == (top + height).max() == 64
    torch.manual_seed(0)
    whole = torch.zeros(3, 64, 64)
    theirs = [RandomResizedCrop.get_params(whole, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    their_top, their_left, their_height, their_width = np.array(theirs).T
    for mine, other in (
        (width * height / 64**2, their_width * their_height / 64**2),
        (np.log(width / height), np.log(their_width / their_height)),
        (left / 64, their_left / 64),
        (top / 64, their_top / 64),
    ):
        assert mine.mean() == pytest.approx(other.mean(), abs=0.02)
        assert mine.std() == pytest.approx(other.std(), abs=0.02)


def test_flips_are_half_of_them_or_none() -> None:
    assert draw(np.arange(10_000)).flips.mean() == pytest.approx(0.5, abs=0.02)
    assert not draw(np.arange(100), flip=False).flips.any()


def test_a_ratio_that_never_fits_gives_the_whole_picture() -> None:
    never = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(2.0, 2.1), flip=False)
    views = sample_views(0, 0, np.arange(5), side_px=64, augmentation=never)
    assert views.boxes.tolist() == [[0, 0, 64, 64]] * 5


@pytest.mark.parametrize(("side", "image_px"), [(64, 64), (40, 32), (32, 48)])
def test_what_is_seen_is_the_resized_crop(side: int, image_px: int) -> None:
    pixels = pictures(30, side)
    views = draw(np.arange(30), side_px=side)
    seen = crop_views(pixels, views, image_px)
    for picture, box, flipped, got in zip(pixels, views.boxes, views.flips, seen, strict=True):
        left, top, width, height = (int(value) for value in box)
        cut = picture.permute(2, 0, 1).float()
        want = transforms.resized_crop(cut, top, left, height, width, [image_px, image_px], antialias=False)
        want = transforms.horizontal_flip(want) if flipped else want
        torch.testing.assert_close(got, want, atol=0.02, rtol=0)


def test_randaugment_comes_before_the_crop() -> None:
    pixels = pictures(12, 40)
    views = sample_views(0, 0, np.arange(12), side_px=40, augmentation=Augmentation(rand_ops=2))
    assert views.ops is not None
    plain = Views(views.boxes, views.flips)
    assert torch.equal(crop_views(pixels, views, 32), crop_views(rand_augment(pixels, views.ops), plain, 32))
    assert not torch.equal(crop_views(pixels, views, 32), crop_views(pixels, plain, 32))
    np.testing.assert_array_equal(
        views.boxes, sample_views(0, 0, np.arange(12), side_px=40, augmentation=Augmentation()).boxes
    )


def test_the_whole_picture_at_its_own_size_is_the_picture() -> None:
    pixels = pictures(2, 24)
    views = Views(np.array([[0, 0, 24, 24]] * 2), np.array([False, True]))
    seen = crop_views(pixels, views, 24)
    whole = pixels.permute(0, 3, 1, 2).float()
    torch.testing.assert_close(seen[0], whole[0], atol=2e-3, rtol=0)
    torch.testing.assert_close(seen[1], whole[1].flip(2), atol=2e-3, rtol=0)


def test_the_center_is_torchvision_s() -> None:
    pixels = pictures(3, 40)
    want = transforms.center_crop(pixels.permute(0, 3, 1, 2).float(), [32, 32])
    assert torch.equal(center_crop(pixels, 32), want)


def test_chance_is_even_and_keys_do_not_run_into_one_another() -> None:
    many = uniform(7, np.arange(100_000))
    assert np.histogram(many, bins=10, range=(0, 1))[0].min() > 9_600
    assert len(np.unique(random_words(np.arange(300)[:, None], np.arange(300)[None, :]))) == 300 * 300
    assert random_words(1, 2) != random_words(2, 1)


def test_shuffled_is_a_new_order_of_the_same_rows() -> None:
    rows = np.arange(50, 150)
    one, two = shuffled(rows, 0, 0), shuffled(rows, 0, 1)
    assert sorted(one) == sorted(two) == rows.tolist()
    assert (one != two).sum() > 80
    np.testing.assert_array_equal(one, shuffled(rows, 0, 0))
