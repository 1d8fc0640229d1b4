"""Corrupts an image by one of the 15 kinds of ImageNet-C at a strength of 1 to 5.

Source: Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019 (arXiv:1903.12261), and the published program. The kinds are written from its formulas and constants, for images of
224 px. What differs (`docs/method.md` has the table): frost, whose photographs are drawn here; the published images
are stored as JPEG of quality 85 after the corruption, these are not.

The random numbers of an image are a function of its content, the kind and the strength: the same image has the same
corruption in any order, on any machine.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from distill.config.corruption_kinds import CorruptionKind
from distill.data.counter_rng import random_words
from distill.evaluation.corruptions.blur import defocus_blur, glass_blur, motion_blur, zoom_blur
from distill.evaluation.corruptions.digital import contrast, elastic_transform, jpeg_compression, pixelate
from distill.evaluation.corruptions.filters import Image
from distill.evaluation.corruptions.noise import gaussian_noise, impulse_noise, shot_noise
from distill.evaluation.corruptions.weather import brightness, fog, frost, snow

IMAGE_PX = 224
"""Side of the images that the constants are for."""
_STREAM = 0xC0  # key of these random numbers, different from those of the training
Corruption = Callable[[Image, int, np.random.Generator], Image]

CORRUPTIONS: Final[Mapping[CorruptionKind, Corruption]] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "impulse_noise": impulse_noise,
    "defocus_blur": defocus_blur,
    "glass_blur": glass_blur,
    "motion_blur": motion_blur,
    "zoom_blur": zoom_blur,
    "snow": snow,
    "frost": frost,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "elastic_transform": elastic_transform,
    "pixelate": pixelate,
    "jpeg_compression": jpeg_compression,
}


def corrupted(
    pixels: npt.NDArray[np.uint8], kind: CorruptionKind, strength: int, content: bytes
) -> npt.NDArray[np.uint8]:
    """The image (224, 224, 3) uint8 after the corruption. `content`: the digest of the image, 8 bytes or more."""
    key = random_words(int.from_bytes(content[:8], "little"), _STREAM, list(CORRUPTIONS).index(kind), strength)
    rng = np.random.Generator(np.random.Philox(key=int(key)))
    changed = CORRUPTIONS[kind](pixels.astype(np.float32) / 255, strength, rng)
    # The published program also rounds down.
    return (np.clip(changed, 0, 1) * 255 + 1e-6).astype(np.uint8)
