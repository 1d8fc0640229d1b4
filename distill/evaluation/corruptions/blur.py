"""Corruptions by blur: defocus, frosted glass, motion and zoom. Images (P, Q, 3), values in 0..1."""

import numpy as np

from distill.evaluation.corruptions.filters import Image, convolved, gaussian_blur, motion_blurred, zoomed


def defocus_blur(image: Image, strength: int, _rng: np.random.Generator) -> Image:
    """The image filtered by a disk with a softened edge."""
    radius, edge_sigma = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[strength - 1]
    return convolved(image, _disk(radius, edge_sigma))


def _disk(radius: int, edge_sigma: float) -> Image:
    half, edge_radius = (8, 1) if radius <= 8 else (radius, 2)
    offsets = np.arange(-half, half + 1)
    disk = (offsets[:, None] ** 2 + offsets**2 <= radius**2).astype(np.float64)
    disk /= disk.sum()
    near = np.arange(-edge_radius, edge_radius + 1)
    edge = np.exp(-0.5 * (near / edge_sigma) ** 2)
    edge /= edge.sum()
    return convolved(disk[..., None], edge[:, None] * edge)[..., 0]


def glass_blur(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """A blur, pixels that take the place of near ones, and a blur.

    As the published program runs: what it writes as an exchange of two pixels copies one of them, because both sides
    are views of the same array. Pixels are visited from the last to the first, and see earlier copies.
    """
    sigma, distance, passes = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[strength - 1]
    height, width = image.shape[:2]
    blurred = np.floor(gaussian_blur(image, sigma) * 255).astype(np.uint8)
    rows = np.arange(height - distance, distance, -1)
    columns = np.arange(width - distance, distance, -1)
    places = (rows[:, None] * width + columns).ravel().tolist()
    source = list(range(height * width))
    for _ in range(passes):
        offsets = rng.integers(-distance, distance, (len(rows), len(columns), 2))
        near = ((rows[:, None] + offsets[..., 1]) * width + columns + offsets[..., 0]).ravel().tolist()
        for place, other in zip(places, near, strict=True):
            source[place] = source[other]
    moved = blurred.reshape(-1, image.shape[2])[source].reshape(image.shape)
    return gaussian_blur(moved.astype(np.float32) / 255, sigma)


def motion_blur(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """A blur along a line of -45 to 45 degrees."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[strength - 1]
    return motion_blurred(image, radius=radius, sigma=sigma, angle_degrees=rng.uniform(-45, 45))


def zoom_blur(image: Image, strength: int, _rng: np.random.Generator) -> Image:
    """The mean of the image and of enlargements of its centre."""
    end, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[strength - 1]
    factors = np.arange(1, end, step)
    return (image + sum(zoomed(image, float(factor)) for factor in factors)) / (len(factors) + 1)
