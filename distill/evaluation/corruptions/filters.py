"""Linear filters of the corruptions, as matrices: the same numbers as the filters of scipy and OpenCV they stand for.

A blur or a zoom along one axis is linear, so it is a matrix with the boundary rule built in, and an image is filtered
by two products of matrices. P, Q height and width in pixels, C channels.
"""

from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

Image: TypeAlias = npt.NDArray[np.floating]
"""(P, Q, C) or (P, Q), values in 0..1 unless stated otherwise."""
Matrix: TypeAlias = npt.NDArray[np.float32]
Indices: TypeAlias = npt.NDArray[np.int64]
Boundary = Literal["nearest", "reflect"]
"""How an axis continues: its last value repeats, or `d c b a | a b c d | d c b a`."""


def mirrored(at: Indices, size: int) -> Indices:
    """Positions on an axis that continues as `d c b a | a b c d | d c b a`."""
    at = np.mod(at, 2 * size)
    return np.minimum(at, 2 * size - 1 - at)


def mirrored_between(at: Indices, size: int) -> Indices:
    """Positions on an axis that continues as `d c b | a b c d | c b a`: the last value is not repeated."""
    at = np.mod(at, 2 * size - 2)
    return np.minimum(at, 2 * size - 2 - at)


@cache
def _blur_matrix(size: int, sigma: float, boundary: Boundary, truncate: float) -> Matrix:
    """The Gaussian filter of scipy along an axis: cut off after `truncate` standard deviations."""
    radius = int(truncate * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights /= weights.sum()
    matrix = np.zeros((size, size))
    rows = np.arange(size)
    for offset, weight in zip(offsets.tolist(), weights.tolist(), strict=True):
        at = rows + offset
        columns = np.clip(at, 0, size - 1) if boundary == "nearest" else mirrored(at, size)
        np.add.at(matrix, (rows, columns), weight)
    return matrix.astype(np.float32)


@cache
def _zoom_matrix(size: int, factor: float) -> Matrix:
    """The linear interpolation of scipy's `zoom` along an axis: the first and the last value stay where they are."""
    size_out = round(size * factor)
    at = np.arange(size_out) * ((size - 1) / (size_out - 1) if size_out > 1 else 0.0)
    low = np.minimum(np.floor(at).astype(np.int64), size - 1)
    share = at - low
    matrix = np.zeros((size_out, size))
    rows = np.arange(size_out)
    np.add.at(matrix, (rows, low), 1 - share)
    np.add.at(matrix, (rows, np.minimum(low + 1, size - 1)), share)
    return matrix.astype(np.float32)


def _along_both(rows: Matrix, columns: Matrix, image: Image) -> Image:
    planes = image[None] if image.ndim == 2 else np.ascontiguousarray(np.moveaxis(image, -1, 0))  # (C, P, Q)
    filtered = rows @ planes @ columns.T
    return filtered[0] if image.ndim == 2 else np.moveaxis(filtered, 0, -1)


def gaussian_blur(image: Image, sigma: float, *, boundary: Boundary = "nearest", truncate: float = 4.0) -> Image:
    """The image blurred by a Gaussian of `sigma` pixels."""
    height, width = image.shape[:2]
    rows, columns = (_blur_matrix(size, sigma, boundary, truncate) for size in (height, width))
    return _along_both(rows, columns, image)


def zoomed(image: Image, factor: float) -> Image:
    """The centre of the image, enlarged by `factor` to the size of the image."""
    height, width = image.shape[:2]
    cut_height, cut_width = int(np.ceil(height / factor)), int(np.ceil(width / factor))
    top, left = (height - cut_height) // 2, (width - cut_width) // 2
    cut = image[top : top + cut_height, left : left + cut_width]
    large = _along_both(_zoom_matrix(cut_height, factor), _zoom_matrix(cut_width, factor), cut)
    top, left = (large.shape[0] - height) // 2, (large.shape[1] - width) // 2
    return large[top : top + height, left : left + width]


def convolved(image: Image, kernel: Image) -> Image:
    """The image (P, Q, C) filtered by a symmetric kernel, with the boundary rule of `mirrored_between`."""
    margin_rows, margin_columns = kernel.shape[0] // 2, kernel.shape[1] // 2
    planes = torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0), dtype=np.float32))[
        :, None
    ]  # (C, 1, P, Q)
    padded = F.pad(planes, (margin_columns, margin_columns, margin_rows, margin_rows), mode="reflect")
    filtered = F.conv2d(padded, torch.from_numpy(kernel).float()[None, None])[:, 0]
    found: Image = np.moveaxis(filtered.numpy(), 0, -1)
    return found


def motion_blurred(image: Image, *, radius: int, sigma: float, angle_degrees: float) -> Image:
    """ImageMagick's motion blur: a one-sided Gaussian of 2 `radius` + 1 pixels along a direction; edges repeat."""
    width = 2 * radius + 1
    weights = np.exp(-0.5 * (np.arange(width) / sigma) ** 2)
    weights /= weights.sum()
    angle = np.deg2rad(angle_degrees)
    height, length = image.shape[:2]
    padded = np.pad(image, ((width, width), (width, width), (0, 0))[: image.ndim], mode="edge")
    blurred = np.zeros_like(image)
    for step, weight in enumerate(weights.tolist()):
        top = width + int(np.ceil(step * np.sin(angle) - 0.5))
        left = width + int(np.ceil(step * np.cos(angle) - 0.5))
        blurred += weight * padded[top : top + height, left : left + length]
    return blurred


def sampled(image: Image, rows: Image, columns: Image, boundary: Literal["mirrored", "mirrored_between"]) -> Image:
    """The image (P, Q, C) at real positions (P, Q), interpolated linearly."""
    low_rows, low_columns = np.floor(rows).astype(np.int64), np.floor(columns).astype(np.int64)
    share_rows, share_columns = (
        (at - low)[..., None].astype(np.float32) for at, low in ((rows, low_rows), (columns, low_columns))
    )
    inside = mirrored if boundary == "mirrored" else mirrored_between
    top, bottom = (inside(low_rows + step, image.shape[0]) for step in (0, 1))
    left, right = (inside(low_columns + step, image.shape[1]) for step in (0, 1))
    upper = image[top, left] * (1 - share_columns) + image[top, right] * share_columns
    lower = image[bottom, left] * (1 - share_columns) + image[bottom, right] * share_columns
    return upper * (1 - share_rows) + lower * share_rows
