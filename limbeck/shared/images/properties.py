"""Properties of an opened image that change how it looks: size, rotation, transparency, bit depth, animation."""

from contextlib import suppress
from typing import NamedTuple

from PIL import Image
from PIL.ExifTags import Base as ExifTag
from PIL.ImageFile import ImageFile

_UPRIGHT = 1
_SWAPS_SIDES = (5, 6, 7, 8)
_OPAQUE = 255
_EXIF_BEFORE_PIXELS = ("JPEG", "MPO", "TIFF")


class ImageProperties(NamedTuple):
    """`width` and `height` in pixels, as the image is shown: after the rotation of its EXIF data.

    `rotated`: its EXIF data rotates or mirrors it. `transparent`: a pixel is not opaque. `deep`: more than 8 bits per
    channel. `animated`: more than one frame.
    """

    width: int
    height: int
    rotated: bool = False
    transparent: bool = False
    deep: bool = False
    animated: bool = False


def read_properties(image: Image.Image) -> ImageProperties:
    """The properties of an image that `PIL.Image.open` has opened and that is not loaded yet; may load it.

    Raises Pillow's errors for a damaged file.
    """
    deep = _is_deep(image)  # the raw mode is lost when the image is loaded
    if image.format not in _EXIF_BEFORE_PIXELS:
        image.load()  # else Pillow loads it to find the EXIF data, and an error would be taken for damaged EXIF data
    width, height = image.size
    orientation = _orientation(image)
    if orientation in _SWAPS_SIDES and image.format != "TIFF":  # Pillow gives the size of a TIFF after its rotation
        width, height = height, width
    return ImageProperties(
        width,
        height,
        rotated=orientation != _UPRIGHT,
        transparent=image.has_transparency_data and _is_transparent(image),
        deep=deep,
        # A camera's MPO file has previews of the same photo, and is no animation.
        animated=bool(getattr(image, "is_animated", False)) and image.format != "MPO",
    )


def _is_deep(image: Image.Image) -> bool:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return True
    tiles = image.tile if isinstance(image, ImageFile) else []
    raw_modes = [tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0] for tile in tiles]
    return any(isinstance(mode, str) and (";16" in mode or ";32" in mode) for mode in raw_modes)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if there is none, or if the EXIF data is damaged."""
    value: object = _UPRIGHT
    with suppress(Exception):  # damaged EXIF data raises any exception
        value = image.getexif().get(ExifTag.Orientation, _UPRIGHT)
    return value if isinstance(value, int) and 1 <= value <= 8 else _UPRIGHT


def _is_transparent(image: Image.Image) -> bool:
    """Whether the alpha channel of an image with transparency data has a value below 255."""
    alpha = image.getchannel("A") if "A" in image.getbands() else image.convert("RGBA").getchannel("A")
    lowest = alpha.getextrema()[0]
    return isinstance(lowest, int | float) and lowest < _OPAQUE
