"""Views: a function of (seed, pass, image), distributed like torchvision's, and equal to a resized crop."""

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as transforms

from distill.config.train_config import Augmentation
from distill.data.crops import Views, center_crop, crop_views, sample_views
from distill.data.randaugment import rand_augment


def sample(images: np.ndarray, *, seed: int = 0, pass_index: int = 0, flip: bool = True, side_px: int = 64) -> Views:
    return sample_views(
        seed, pass_index, images, image_px=side_px, augmentation=Augmentation(crop_scale=(0.08, 1), flip=flip)
    )


def random_images(count: int, side: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_views_depend_only_on_seed_pass_and_image() -> None:
    images = np.arange(100)
    every, subset = sample(images), sample(images[40:60][::-1])
    np.testing.assert_array_equal(every.boxes[40:60][::-1], subset.boxes)
    np.testing.assert_array_equal(every.flips[40:60][::-1], subset.flips)
    for other in (sample(images, seed=1), sample(images, pass_index=1)):
        assert (other.boxes != every.boxes).any(axis=1).mean() > 0.95
        assert 0.3 < (other.flips != every.flips).mean() < 0.7


def test_views_lie_within_the_image_and_are_distributed_like_torchvision() -> None:
    left, top, width, height = sample(np.arange(20_000)).boxes.T
    assert left.min() == top.min() == 0
    assert (left + width).max() == (top + height).max() == 64
    torch.manual_seed(0)
    whole = torch.zeros(3, 64, 64)
    reference_crops = [RandomResizedCrop.get_params(whole, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    reference_top, reference_left, reference_height, reference_width = np.array(reference_crops).T
    for sampled, reference in (
        (width * height / 64**2, reference_width * reference_height / 64**2),
        (np.log(width / height), np.log(reference_width / reference_height)),
        (left / 64, reference_left / 64),
        (top / 64, reference_top / 64),
    ):
        assert sampled.mean() == pytest.approx(reference.mean(), abs=0.02)
        assert sampled.std() == pytest.approx(reference.std(), abs=0.02)


def test_half_of_the_views_are_flipped_or_none() -> None:
    assert sample(np.arange(10_000)).flips.mean() == pytest.approx(0.5, abs=0.02)
    assert not sample(np.arange(100), flip=False).flips.any()


def test_whole_image_is_used_if_no_ratio_fits() -> None:
    never = Augmentation(crop_scale=(1.0, 1.0), crop_ratio=(2.0, 2.1), flip=False)
    views = sample_views(0, 0, np.arange(5), image_px=64, augmentation=never)
    assert views.boxes.tolist() == [[0, 0, 64, 64]] * 5


@pytest.mark.parametrize(("side", "image_px"), [(64, 64), (40, 32), (32, 48)])
def test_cropped_view_equals_torchvision_resized_crop(side: int, image_px: int) -> None:
    pixels = random_images(30, side)
    views = sample(np.arange(30), side_px=side)
    crops = crop_views(pixels, views, image_px)
    for image, box, flipped, got in zip(pixels, views.boxes, views.flips, crops, strict=True):
        left, top, width, height = (int(value) for value in box)
        cut = image.permute(2, 0, 1).float()
        want = transforms.resized_crop(cut, top, left, height, width, [image_px, image_px], antialias=False)
        want = transforms.horizontal_flip(want) if flipped else want
        torch.testing.assert_close(got, want, atol=0.02, rtol=0)


@pytest.mark.image_input("Students", "a non-square input", "the crops of a square image, stretched with it")
def test_crops_of_images_that_are_not_square_are_those_of_a_square_stretched() -> None:
    images, wide, augmentation = np.arange(200), (400, 1600), Augmentation(crop_scale=(0.08, 1))
    boxes = sample_views(0, 0, images, image_px=wide, augmentation=augmentation).boxes
    square = sample_views(0, 0, images, image_px=800, augmentation=augmentation).boxes
    assert (boxes[:, 0] + boxes[:, 2] <= 1600).all()
    assert (boxes[:, 1] + boxes[:, 3] <= 400).all()
    np.testing.assert_allclose(boxes / [2, 0.5, 2, 0.5], square, atol=2.5)
    pixels = random_images(6, 40)[:, :, :24]
    views = sample_views(0, 0, np.arange(6), image_px=(40, 24), augmentation=augmentation)
    crops = crop_views(pixels, views, (20, 32))
    assert crops.shape == (6, 3, 20, 32)
    for crop, image, (left, top, width, height), flip in zip(crops, pixels, views.boxes, views.flips, strict=True):
        cut = image.permute(2, 0, 1).float()
        want = transforms.resized_crop(cut, top, left, height, width, [20, 32], antialias=False)
        torch.testing.assert_close(crop, want.flip(-1) if flip else want, atol=2e-3, rtol=0)
    assert center_crop(pixels, (20, 10))[0, :, 0, 0].tolist() == pixels[0, 10, 7].tolist()


def test_a_view_depends_on_the_pass_of_its_own_image() -> None:
    passes = np.array([3, 0, 3, 7])
    views = sample_views(5, passes, np.arange(4), image_px=64, augmentation=Augmentation(rand_ops=2))
    for at, pass_index in enumerate(passes.tolist()):
        one = sample_views(5, pass_index, np.array([at]), image_px=64, augmentation=Augmentation(rand_ops=2))
        assert one.boxes.tolist() == views.boxes[[at]].tolist()
        assert one.ops is not None
        assert views.ops is not None
        assert one.ops.kinds.tolist() == views.ops.kinds[[at]].tolist()


def test_randaugment_is_applied_before_the_crop() -> None:
    pixels = random_images(12, 40)
    views = sample_views(0, 0, np.arange(12), image_px=40, augmentation=Augmentation(rand_ops=2))
    assert views.ops is not None
    plain = Views(views.boxes, views.flips)
    assert torch.equal(crop_views(pixels, views, 32), crop_views(rand_augment(pixels, views.ops), plain, 32))
    assert not torch.equal(crop_views(pixels, views, 32), crop_views(pixels, plain, 32))
    np.testing.assert_array_equal(
        views.boxes, sample_views(0, 0, np.arange(12), image_px=40, augmentation=Augmentation()).boxes
    )


def test_whole_image_at_its_own_size_is_unchanged() -> None:
    pixels = random_images(2, 24)
    views = Views(np.array([[0, 0, 24, 24]] * 2), np.array([False, True]))
    crops = crop_views(pixels, views, 24)
    whole = pixels.permute(0, 3, 1, 2).float()
    torch.testing.assert_close(crops[0], whole[0], atol=2e-3, rtol=0)
    torch.testing.assert_close(crops[1], whole[1].flip(2), atol=2e-3, rtol=0)


def test_center_crop_equals_torchvision() -> None:
    pixels = random_images(3, 40)
    want = transforms.center_crop(pixels.permute(0, 3, 1, 2).float(), [32, 32])
    assert torch.equal(center_crop(pixels, 32), want)
