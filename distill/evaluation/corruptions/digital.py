"""Digital corruptions: contrast, elastic deformation, pixelation and JPEG. Images (P, Q, 3), values in 0..1."""

import io

import numpy as np
from PIL import Image as Pillow

from distill.evaluation.corruptions.filters import Image, gaussian_blur, sampled


def contrast(image: Image, strength: int, _rng: np.random.Generator) -> Image:
    """Each channel closer to its mean."""
    kept = (0.4, 0.3, 0.2, 0.1, 0.05)[strength - 1]
    mean = image.mean(axis=(0, 1), keepdims=True)
    flat: Image = (image - mean) * kept + mean
    return flat


def elastic_transform(image: Image, strength: int, rng: np.random.Generator) -> Image:
    """A random affine map, then smooth random shifts of all pixels. The published scale is 244, at 224 px."""
    shift, smoothness, corner = 244 * np.array(
        ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))[strength - 1]
    )
    height, width = image.shape[:2]
    centre, side = np.array((height, width)) // 2, min(height, width) // 3
    corners = centre + np.array([(side, side), (side, -side), (-side, -side)], dtype=np.float64)
    moved = corners + rng.uniform(-corner, corner, corners.shape)
    # Solves [x y 1] of a moved corner times the map = the corner: where each pixel of the result comes from.
    back = np.linalg.solve(np.column_stack([moved, np.ones(3)]), corners)  # (3, 2)
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    source = columns[..., None] * back[0] + rows[..., None] * back[1] + back[2]
    image = sampled(image, source[..., 1], source[..., 0], "mirrored_between")

    def shifts() -> Image:
        random = rng.uniform(-1, 1, (height, width))
        smooth: Image = gaussian_blur(random, float(smoothness), boundary="reflect", truncate=3) * shift
        return smooth

    right, down = shifts(), shifts()
    return sampled(image, rows + down, columns + right, "mirrored")


def pixelate(image: Image, strength: int, _rng: np.random.Generator) -> Image:
    """The image reduced and enlarged again without interpolation."""
    kept = (0.6, 0.5, 0.4, 0.3, 0.25)[strength - 1]
    height, width = image.shape[:2]
    small = _picture(image).resize((int(width * kept), int(height * kept)), Pillow.Resampling.BOX)
    return np.asarray(small.resize((width, height), Pillow.Resampling.BOX)) / 255


def jpeg_compression(image: Image, strength: int, _rng: np.random.Generator) -> Image:
    """The image as a JPEG file of low quality."""
    file = io.BytesIO()
    _picture(image).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[strength - 1])
    return np.asarray(Pillow.open(file)) / 255


def _picture(image: Image) -> Pillow.Image:
    return Pillow.fromarray(np.round(image * 255).astype(np.uint8))
