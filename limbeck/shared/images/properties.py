"""Properties of an image that change how it looks: size, rotation, transparency, bit depth, animation.

`limbeck.shared.images.decode.OpenedImage.properties` finds them.
"""

from typing import NamedTuple

from PIL import Image
from PIL.ImageFile import ImageFile


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


def has_deep_samples(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits per channel; `image` is not loaded yet, which loses the raw mode."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return True
    tiles = image.tile if isinstance(image, ImageFile) else []
    raw_modes = [tile.args if isinstance(tile.args, str) else (tile.args or ("",))[0] for tile in tiles]
    return any(isinstance(mode, str) and (";16" in mode or ";32" in mode) for mode in raw_modes)


def is_animated(image: Image.Image) -> bool:
    """Whether an opened image has several frames or pages. It may be at another frame or page afterwards."""
    try:
        # A camera's MPO file has previews of the same photo, and is no animation.
        return bool(getattr(image, "is_animated", False)) and image.format != "MPO"
    except Exception:  # decoders raise any exception for a damaged frame, which is not shown
        return False
