"""Crops: the part of an image that student and teacher see, with flip and RandAugment.

The student sees a new view in each pass (`sample_views`). The teacher sees, by the setting `view`: the same views, of
which `num_views` per image are sampled once and cached (`same`: `sample_shared_views`, used for both), every view of
the student (`live`), or its own preprocessing of the image (`center`, `squash`: `distill.teacher.image_features`).

A view is a function of (seed, pass, image), so it can be reproduced. `crop_views` applies views to a whole batch on the
device; it reads the image with coordinates clamped to the crop, like an unantialiased resize of the crop. The published
code (arXiv:2307.03135) transforms the stacked tensor with one crop and one flip per batch; to reproduce it,
`Augmentation.per` = `batch` gives the whole batch the view of one image.
N images of the dataset, B of a batch, V views per image; S, T height and width of the stored images in pixels, P, Q of
the output.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.config.image_size import ImageSize, Size
from distill.config.train_config import Augmentation
from distill.data.counter_rng import Ints, uniform
from distill.data.randaugment import Ops, rand_augment, sample_ops
from distill.data.row_cache import Keys
from distill.data.views.retouching import Index, Retouching, retouch, sample_retouching

ATTEMPTS = 10


@dataclass(frozen=True, eq=False)
class Views:
    """Crop and flip of each image: `boxes` (B, 4) as left, top, width, height in pixels; `flips` (B,) bool.

    `ops`: RandAugment operations to apply before the crop, or None. `retouching`: to apply after it, or None.
    `teacher_sees_all`: the teacher sees these too, and not only crop and flip.
    """

    boxes: npt.NDArray[np.number]
    flips: npt.NDArray[np.bool_]
    ops: Ops | None = None
    retouching: Retouching | None = None
    teacher_sees_all: bool = False

    def take(self, at: Index) -> "Views":
        """The views at the numpy index `at`."""
        ops = self.ops and Ops(self.ops.kinds[at], self.ops.negative[at], self.ops.magnitude)
        retouching = self.retouching and self.retouching.take(at)
        return Views(self.boxes[at], self.flips[at], ops, retouching, self.teacher_sees_all)

    def of_teacher(self) -> "Views":
        """What the teacher sees of these views."""
        return self if self.teacher_sees_all else Views(self.boxes, self.flips)


def sample_views(
    seed: int, pass_index: int | Ints, images: Ints, *, image_px: Size, augmentation: Augmentation
) -> Views:
    """One view per image of `images` (B,), distributed as torchvision's RandomResizedCrop on square images.

    Makes up to 10 attempts at an area in `crop_scale` and a ratio in `crop_ratio` that fit, else takes the whole image.
    In images of `image_px` that are not square, the ratio counts relative to the ratio of the whole image, because that
    is squashed: the crops are those of a square image, stretched with it. `pass_index`: one number, or (B,) numbers.
    """
    size = ImageSize.of(image_px)
    width, height = _sample_sizes(seed, pass_index, images, size, augmentation)
    left = np.floor(uniform(seed, pass_index, images, 2) * (size.width - width + 1))
    top = np.floor(uniform(seed, pass_index, images, 3) * (size.height - height + 1))
    flips = uniform(seed, pass_index, images, 4) < (0.5 if augmentation.flip else 0.0)
    boxes = np.stack([left, top, width, height], axis=1).astype(np.int64)
    return Views(
        boxes,
        flips,
        sample_augmentations(seed, pass_index, images, augmentation),
        sample_retouching(seed, pass_index, images, augmentation),
        augmentation.teacher == "all",
    )


def sample_shared_views(
    seed: int, contents: Keys, *, num_views: int, image_px: Size, augmentation: Augmentation
) -> Views:
    """`num_views` views for each of `contents` (N, 32), as the teacher sees them: boxes (N, V, 4) in images of
    `image_px`.

    Sampled by the content of the image file, so they do not depend on the other images of the dataset.
    """
    images = np.ascontiguousarray(contents[:, :8]).view(np.int64)[:, 0]
    if augmentation.teacher == "crop":
        augmentation = augmentation.model_copy(update={"rand_ops": 0, "colour": 0.0, "erase": 0.0})
    sampled = [
        sample_views(seed, view, images, image_px=image_px, augmentation=augmentation) for view in range(num_views)
    ]
    every_ops = [view.ops for view in sampled if view.ops is not None]
    every_retouching = [view.retouching for view in sampled if view.retouching is not None]
    return Views(
        np.stack([view.boxes for view in sampled], axis=1),
        np.stack([view.flips for view in sampled], axis=1),
        Ops(
            np.stack([ops.kinds for ops in every_ops], axis=1),
            np.stack([ops.negative for ops in every_ops], axis=1),
            augmentation.rand_magnitude,
        )
        if every_ops
        else None,
        Retouching(
            np.stack([one.factors for one in every_retouching], axis=1),
            np.stack([one.erased for one in every_retouching], axis=1),
        )
        if every_retouching
        else None,
        augmentation.teacher == "all",
    )


@dataclass(frozen=True, kw_only=True)
class SharedViews:
    """How the views that student and teacher share are sampled: `num_views` of each image, in images of `image_px`."""

    seed: int
    num_views: int
    image_px: ImageSize
    augmentation: Augmentation

    def of(self, contents: Keys) -> Views:
        """The views of the images with these digests (N, 32): boxes (N, V, 4), flips (N, V)."""
        return sample_shared_views(
            self.seed,
            contents,
            num_views=self.num_views,
            image_px=self.image_px,
            augmentation=self.augmentation,
        )


def _sample_sizes(
    seed: int, pass_index: int | Ints, images: Ints, size: ImageSize, augmentation: Augmentation
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Crop widths and heights (B,) in pixels, whole numbers."""
    crop_scale, crop_ratio = augmentation.crop_scale, augmentation.crop_ratio
    attempts = np.arange(ATTEMPTS)[None, :]
    passes = np.asarray(pass_index)[..., None]

    def sample(purpose: int) -> npt.NDArray[np.float64]:
        return uniform(seed, passes, images[:, None], purpose, attempts)  # (B, attempts)

    area = size.num_pixels * (crop_scale[0] + sample(0) * (crop_scale[1] - crop_scale[0]))
    low, high = np.log(crop_ratio)
    ratio = np.exp(low + sample(1) * (high - low)) * (size.width / size.height)
    width, height = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (width >= 1) & (height >= 1) & (width <= size.width) & (height <= size.height)
    first_fit = fits.argmax(axis=1)[:, None]

    def chosen(values: npt.NDArray[np.float64], whole: int) -> npt.NDArray[np.float64]:
        return np.where(fits.any(axis=1), np.take_along_axis(values, first_fit, axis=1)[:, 0], whole)

    return chosen(width, size.width), chosen(height, size.height)


def sample_augmentations(seed: int, pass_index: int | Ints, images: Ints, augmentation: Augmentation) -> Ops | None:
    """RandAugment operations for each of `images` (B,), or None if `augmentation` has none."""
    if augmentation.rand_ops == 0:
        return None
    return sample_ops(seed, pass_index, images, num_ops=augmentation.rand_ops, magnitude=augmentation.rand_magnitude)


def crop_views(pixels: Tensor, views: Views, image_px: Size) -> Tensor:
    """Apply the views to `pixels` (B, S, T, 3) uint8: (B, 3, P, Q) float32 in 0..255, bilinear."""
    if views.ops is not None:
        pixels = rand_augment(pixels, views.ops)
    device, size = pixels.device, ImageSize.of(image_px)
    boxes = torch.from_numpy(views.boxes).to(device, torch.float32)  # (B, 4)
    flips = torch.from_numpy(views.flips).to(device)
    left, top, width, height = boxes.unbind(dim=1)
    x = _sample_positions(left, width, size.width, pixels.shape[2])  # (B, Q)
    y = _sample_positions(top, height, size.height, pixels.shape[1])  # (B, P)
    x = torch.where(flips[:, None], x.flip(1), x)
    grid = torch.stack(
        [x[:, None, :].expand(-1, size.height, -1), y[:, :, None].expand(-1, -1, size.width)], dim=-1
    )  # (B, P, Q, 2)
    # Half-precision coordinates would be rounded, so sample in float32 even under autocast.
    with torch.autocast(device.type, enabled=False):
        crops = F.grid_sample(pixels.permute(0, 3, 1, 2).float(), grid, padding_mode="border", align_corners=False)
        return crops if views.retouching is None else retouch(crops, views.retouching)


def _sample_positions(start: Tensor, length: Tensor, num_px: int, side: int) -> Tensor:
    """The positions (B, P) on one axis that the output pixels read, in grid_sample's range -1..1, within the crop."""
    steps = torch.arange(num_px, device=start.device) + 0.5
    at = steps[None, :] * (length / num_px)[:, None] - 0.5  # (B, P), relative to the crop
    at = start[:, None] + torch.minimum(at.clamp(min=0), (length - 1).clamp(min=0)[:, None])
    return (2 * at + 1) / side - 1


def center_crop(pixels: Tensor, image_px: Size) -> Tensor:
    """The centre of `pixels` (B, S, T, 3) uint8: (B, 3, P, Q) uint8, a view of the same memory. S >= P, T >= Q.

    An odd margin is divided as in torchvision's CenterCrop.
    """
    size = ImageSize.of(image_px)
    top, left = round((pixels.shape[1] - size.height) / 2), round((pixels.shape[2] - size.width) / 2)
    cut = pixels[:, top : top + size.height, left : left + size.width]
    return cut.permute(0, 3, 1, 2)
