"""Corruptions by weather: snow, frost, fog and bright light. Images (P, Q, 3), values in 0..1."""

import numpy as np

from distill.evaluation.corruptions.filters import Image, motion_blurred, zoomed

LUMA = (0.299, 0.587, 0.114)
# Mean colour and standard deviation of the brightness, in 0..255, of the five photographs of frost that ImageNet-C
# lays over its images. The photographs come without a licence and are no part of this project.
_FROSTS = (
    ((77, 148, 165), 15),
    ((201, 206, 215), 20),
    ((201, 206, 215), 20),
    ((143, 158, 171), 27),
    ((105, 116, 128), 36),
)


def fractal(size: int, decay: float, rng: np.random.Generator) -> Image:
    """Clouds (size, size) in 0..1 by the diamond-square algorithm; `size` is a power of two, and edges wrap around.

    The random part shrinks by the square of `decay` when the step is halved: the larger, the smoother.
    """
    clouds = np.zeros((size, size))
    step, amplitude = size, 100.0**2

    def varied(corners: Image) -> Image:
        changed: Image = corners / 4 + rng.uniform(-amplitude, amplitude, corners.shape)
        return changed

    while step >= 2:
        half = step // 2
        # Squares: the centre of each is the mean of its corners.
        pairs = clouds[::step, ::step] + np.roll(clouds[::step, ::step], -1, axis=0)
        clouds[half::step, half::step] = varied(pairs + np.roll(pairs, -1, axis=1))
        # Diamonds: the middle of each edge is the mean of its two ends and of the two centres beside it.
        centres, ends = clouds[half::step, half::step], clouds[::step, ::step]
        clouds[::step, half::step] = varied(centres + np.roll(centres, 1, axis=0) + ends + np.roll(ends, -1, axis=1))
        clouds[half::step, ::step] = varied(centres + np.roll(centres, 1, axis=1) + ends + np.roll(ends, -1, axis=0))
        step, amplitude = half, amplitude / decay**2
    clouds -= clouds.min()
    scaled: Image = clouds / clouds.max()
    return scaled


def _power_of_two(image: Image) -> int:
    return 1 << int(max(image.shape[:2]) - 1).bit_length()


def snow(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """Falling flakes in two directions over a whitened image."""
    mean, deviation, size, threshold, radius, sigma, kept = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[strength - 1]
    flakes = zoomed(rng.normal(mean, deviation, image.shape[:2]), size)
    flakes = np.floor(np.where(flakes < threshold, 0, np.clip(flakes, 0, 1)) * 255) / 255
    flakes = motion_blurred(flakes, radius=radius, sigma=sigma, angle_degrees=rng.uniform(-135, -45))[..., None]
    grey = (image @ np.array(LUMA))[..., None]
    white = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5)
    snowed: Image = white + flakes + np.rot90(flakes, k=2)
    return snowed


def frost(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """A layer of ice crystals laid over the image.

    Not as published: the layer is drawn, with the colour and the contrast of the published photographs.
    """
    of_image, of_layer = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[strength - 1]
    colour, deviation = _FROSTS[int(rng.integers(len(_FROSTS)))]
    size = _power_of_two(image)
    # Ridges of clouds look like the veins of ice crystals.
    ridges = 1 - np.abs(2 * fractal(size, 1.3, rng)[: image.shape[0], : image.shape[1]] - 1)
    ridges = (ridges - ridges.mean()) / ridges.std()
    layer = np.clip((np.array(colour) + deviation * ridges[..., None]) / 255, 0, 1)
    frosted: Image = of_image * image + of_layer * layer
    return frosted


def fog(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """Clouds added to the image, which is darkened so that its maximum stays."""
    density, decay = ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4))[strength - 1]
    clouds = fractal(_power_of_two(image), decay, rng)[: image.shape[0], : image.shape[1]]
    brightest = image.max()
    fogged: Image = (image + density * clouds[..., None]) * brightest / (brightest + density)
    return fogged


def brightness(image: Image, strength: int, _rng: np.random.Generator) -> Image:
    """The value of each pixel in HSV, its largest channel, raised; hue and saturation stay."""
    added = (0.1, 0.2, 0.3, 0.4, 0.5)[strength - 1]
    value = image.max(axis=-1, keepdims=True)
    raised = np.minimum(value + added, 1)
    # A black pixel has no hue and becomes grey.
    bright: Image = np.where(value > 0, image * (raised / np.where(value > 0, value, 1)), raised)
    return bright
