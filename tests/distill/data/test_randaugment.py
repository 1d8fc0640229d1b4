"""RandAugment: every operation equals torchvision's per image; operations are a function of (seed, pass, image)."""

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, RandAugment
from torchvision.transforms.autoaugment import _apply_op

from distill.data.randaugment import BLENDING, GEOMETRIC, OPS, Ops, rand_augment, sample_ops

SIDE = 40


def smooth_images(count: int, side: int = SIDE) -> torch.Tensor:
    """Smooth images of different ranges, one of a single colour; noise would have a flat histogram."""
    random = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, 6, 6, generator=random) * torch.linspace(40, 200, count).view(-1, 1, 1, 1)
    smooth = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear") + 30
    smooth[-1] = 77
    return smooth.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def torchvision_result(image: torch.Tensor, name: str, sign: float, magnitude: int) -> torch.Tensor:
    height, width = image.shape[:2]
    strengths, signed = RandAugment()._augmentation_space(31, (height, width))[name]
    strength = float(strengths[magnitude]) if strengths.ndim else 0.0
    changed = _apply_op(
        image.permute(2, 0, 1), name, strength * (sign if signed else 1.0), InterpolationMode.NEAREST, None
    )
    return changed.permute(1, 2, 0)


def test_operation_names_equal_torchvision() -> None:
    assert list(RandAugment()._augmentation_space(31, (SIDE, SIDE))) == list(OPS)


@pytest.mark.parametrize("magnitude", [9, 30])
@pytest.mark.parametrize("name", OPS)
def test_each_operation_equals_torchvision(name: str, magnitude: int) -> None:
    pixels = smooth_images(8)
    before = pixels.clone()
    negative = np.arange(8)[:, None] % 2 == 1
    got = rand_augment(pixels, Ops(np.full((8, 1), OPS.index(name)), negative, magnitude))
    assert got.dtype == torch.uint8
    assert torch.equal(pixels, before)
    for image, is_negative, got_image in zip(pixels, negative[:, 0], got, strict=True):
        want = torchvision_result(image, name, -1.0 if is_negative else 1.0, magnitude)
        assert torch.equal(got_image, want)
    assert torch.equal(got, pixels) == (name == "Identity")
    if name in GEOMETRIC + BLENDING:
        assert not torch.equal(
            *(
                rand_augment(pixels[:1], Ops(np.array([[OPS.index(name)]]), np.array([[is_negative]]), 9))
                for is_negative in (False, True)
            )
        )


@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometric_operations_equal_torchvision_on_images_that_are_not_square(name: str) -> None:
    for pixels in (smooth_images(4)[:, 3:27], smooth_images(4)[:, :, 3:27]):
        got = rand_augment(pixels, Ops(np.full((4, 1), OPS.index(name)), np.zeros((4, 1), dtype=np.bool_), 20))
        for image, got_image in zip(pixels, got, strict=True):
            assert torch.equal(got_image, torchvision_result(image.contiguous(), name, 1.0, 20))


def test_operations_are_applied_in_sequence_and_per_image() -> None:
    pixels = smooth_images(30)
    ops = sample_ops(3, 1, np.arange(30), num_ops=2, magnitude=9)
    together = rand_augment(pixels, ops)
    assert len({tuple(pair) for pair in ops.kinds.tolist()}) > 20
    for at in range(30):
        want = pixels[at]
        for kind, is_negative in zip(ops.kinds[at], ops.negative[at], strict=True):
            want = torchvision_result(want.contiguous(), OPS[kind], -1.0 if is_negative else 1.0, 9)
        assert torch.equal(together[at], want), [OPS[kind] for kind in ops.kinds[at]]
        alone = rand_augment(pixels[at : at + 1], Ops(ops.kinds[at : at + 1], ops.negative[at : at + 1], 9))
        assert torch.equal(alone[0], together[at])


def test_operations_depend_only_on_seed_pass_and_image() -> None:
    def sample(images: np.ndarray, seed: int = 0, pass_index: int = 0) -> Ops:
        return sample_ops(seed, pass_index, images, num_ops=2, magnitude=9)

    images = np.arange(7000)
    every, subset = sample(images), sample(images[40:60][::-1])
    np.testing.assert_array_equal(every.kinds[40:60][::-1], subset.kinds)
    np.testing.assert_array_equal(every.negative[40:60][::-1], subset.negative)
    counts = np.bincount(every.kinds.ravel(), minlength=len(OPS))
    assert counts.min() > 900
    assert counts.max() < 1100
    assert every.negative.mean() == pytest.approx(0.5, abs=0.02)
    assert abs(np.corrcoef(every.kinds.T)[0, 1]) < 0.05
    for other in (sample(images, seed=1), sample(images, pass_index=1)):
        assert (other.kinds != every.kinds).mean() > 0.9


def test_deterministic_mode_is_restored() -> None:
    pixels, ops = smooth_images(3), Ops(np.full((3, 1), OPS.index("Equalize")), np.zeros((3, 1), dtype=bool), 9)
    torch.use_deterministic_algorithms(True)
    try:
        changed = rand_augment(pixels, ops)
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(changed, rand_augment(pixels, ops))
