"""Corruptions by noise: Gaussian, shot and impulse. Images (P, Q, 3), values in 0..1."""

import numpy as np

from distill.evaluation.corruptions.filters import Image


def gaussian_noise(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """Independent Gaussian noise on each value."""
    scale = (0.08, 0.12, 0.18, 0.26, 0.38)[strength - 1]
    return image + rng.normal(0.0, scale, image.shape)


def shot_noise(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """Poisson noise: each value is a count of photons, of which there are few."""
    photons = (60, 25, 12, 5, 3)[strength - 1]
    return rng.poisson(image * photons) / photons


def impulse_noise(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """A share of the values becomes 0 or 1."""
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[strength - 1]
    is_changed, is_white = rng.random(image.shape) <= share, rng.random(image.shape) <= 0.5
    return np.where(is_changed, is_white.astype(np.float32), image)
