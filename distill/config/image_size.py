"""Size of an image in pixels: one number for a square, or height and width. Imports no torch."""

from typing import NamedTuple, Self


class ImageSize(NamedTuple):
    """Height and width in pixels; `str()` gives `224` for a square and `224x160` (height first) otherwise."""

    height: int
    width: int

    @classmethod
    def of(cls, size: "int | tuple[int, int] | ImageSize") -> Self:
        """The size of a square of `size` pixels, or of (height, width)."""
        return cls(size, size) if isinstance(size, int) else cls(*size)

    def __str__(self) -> str:
        return str(self.height) if self.is_square else f"{self.height}x{self.width}"

    @property
    def is_square(self) -> bool:
        return self.height == self.width

    @property
    def num_pixels(self) -> int:
        return self.height * self.width

    def as_json(self) -> int | list[int]:
        """A number for a square, else [height, width]."""
        return self.height if self.is_square else [self.height, self.width]


SMALL_PX = 96


def train_size(image_px: "int | tuple[int, int] | ImageSize") -> ImageSize:
    """Size of the stored images for training a student of `image_px`: 256 for 224; `image_px` itself up to 96.

    If one side is above 96, both have the margin, so that a crop is as large a share of both.
    """
    size = ImageSize.of(image_px)
    return size if max(size) <= SMALL_PX else ImageSize(round(size.height * 8 / 7), round(size.width * 8 / 7))


Size = int | tuple[int, int]
"""The side of a square, or (height, width), in pixels."""
