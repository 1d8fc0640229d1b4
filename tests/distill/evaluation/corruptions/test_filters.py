"""The filters against those of scipy that they stand for."""

import numpy as np
import pytest
from scipy import ndimage

from distill.evaluation.corruptions.filters import (
    Boundary,
    convolved,
    gaussian_blur,
    motion_blurred,
    sampled,
    zoomed,
)

IMAGE = np.random.default_rng(0).random((40, 30, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("sigma", "boundary", "truncate"), [(0.7, "nearest", 4.0), (2.4, "reflect", 3.0), (60.0, "reflect", 3.0)]
)
def test_gaussian_blur(sigma: float, boundary: Boundary, truncate: float) -> None:
    expected = ndimage.gaussian_filter(IMAGE.astype(np.float64), (sigma, sigma, 0), mode=boundary, truncate=truncate)
    assert gaussian_blur(IMAGE, sigma, boundary=boundary, truncate=truncate) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("factor", [1.0, 1.13, 4.5])
def test_zoom(factor: float) -> None:
    square = IMAGE[:30]
    cut = int(np.ceil(30 / factor))
    top = (30 - cut) // 2
    large = ndimage.zoom(square[top : top + cut, top : top + cut], (factor, factor, 1), order=1)
    trim = (len(large) - 30) // 2
    assert zoomed(square, factor) == pytest.approx(large[trim : trim + 30, trim : trim + 30], abs=1e-5)


def test_convolution() -> None:
    kernel = np.outer([1, 2, 3, 2, 1], [1, 3, 1]) / 45
    expected = ndimage.correlate(IMAGE, kernel[..., None], mode="mirror")
    assert convolved(IMAGE, kernel) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("boundary", "mode"), [("mirrored", "reflect"), ("mirrored_between", "mirror")])
def test_sampling(boundary: str, mode: str) -> None:
    rows, columns = np.random.default_rng(1).uniform(-25, 60, (2, 20, 20))
    expected = np.stack(
        [ndimage.map_coordinates(IMAGE[..., at], [rows, columns], order=1, mode=mode) for at in range(3)], -1
    )
    assert sampled(IMAGE, rows, columns, boundary) == pytest.approx(expected, abs=1e-4)  # type: ignore[arg-type]


def test_motion_blur_smears_against_its_direction() -> None:
    """At 0 degrees a pixel is the weighted mean of itself and of those to its right, nearer ones more."""
    point = np.zeros((9, 60))
    point[4, 40] = 1
    found = motion_blurred(point, radius=5, sigma=3, angle_degrees=0)
    weights = np.exp(-0.5 * (np.arange(11) / 3) ** 2)
    assert found[4, 30:41][::-1] == pytest.approx(weights / weights.sum())
    assert found.sum() == pytest.approx(1)
    # Beyond the edge the last value repeats.
    assert motion_blurred(np.ones((5, 5)), radius=8, sigma=4, angle_degrees=30) == pytest.approx(1)
