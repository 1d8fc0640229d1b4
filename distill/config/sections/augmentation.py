"""The augmentation of the training images. Imports no torch."""

from typing import Literal

from pydantic import Field, field_validator

from distill.config.sections.base import ConfigSection


class Augmentation(ConfigSection):
    """RandAugment, random resized crop, horizontal flip, colour jitter and random erasing, in this order."""

    crop_scale: tuple[float, float] = Field((0.35, 1.0), description="Range of the crop's share of the image area.")
    crop_ratio: tuple[float, float] = Field(
        (3 / 4, 4 / 3), description="Range of the crop's width over height; sampled uniformly in the logarithm."
    )
    flip: bool = Field(True, description="Flip half of the images horizontally.")
    rand_ops: int = Field(0, ge=0, le=8, description="Number of RandAugment operations per image; 0 for none.")
    rand_magnitude: int = Field(9, ge=0, le=30, description="Magnitude of each RandAugment operation, of 30.")
    colour: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Random brightness, contrast and saturation: factors from 1 - `colour` to 1 + `colour`.",
    )
    erase: float = Field(
        0.0, ge=0, le=1, description="Share of images in which a random rectangle is grey (arXiv:1708.04896)."
    )
    teacher: Literal["crop", "all"] = Field(
        "crop",
        description="What of it the teacher sees in the views `same` and `live`: crop and flip, or all of it "
        "(arXiv:2106.05237).",
    )
    per: Literal["image", "batch"] = Field(
        "image", description="Sample augmentations per image, or once per batch as the published code does."
    )

    @field_validator("crop_scale")
    @classmethod
    def _scale_range(cls, scale: tuple[float, float]) -> tuple[float, float]:
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"crop_scale {scale} must rise within (0, 1]")
        return scale

    @field_validator("crop_ratio")
    @classmethod
    def _ratio_range(cls, ratio: tuple[float, float]) -> tuple[float, float]:
        if not 0.1 <= ratio[0] <= ratio[1] <= 10:
            raise ValueError(f"crop_ratio {ratio} must rise within [0.1, 10]")
        return ratio
