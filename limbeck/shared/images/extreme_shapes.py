"""Images that are much longer than wide: reduced before a resize that would otherwise need gigabytes.

A resize of the shorter side of 1 x 30,000 pixels to 224 makes 224 x 6,720,000 of them. Images whose sides differ by up
to a factor of `MAX_ASPECT` are returned as they are, so that their resized pixels are what they always were.
"""

from PIL import Image

MAX_ASPECT = 64


def is_extreme(width: int, height: int) -> bool:
    """Whether one side is more than `MAX_ASPECT` times the other."""
    return max(width, height) > MAX_ASPECT * min(width, height)


def central_part(image: Image.Image, aspect: int = MAX_ASPECT) -> Image.Image:
    """For a resize that keeps the aspect ratio: the central part of an extreme image.

    `aspect`: the sides of this part differ by this factor. It must not exceed the size that the longer side gets, or
    the shorter one would vanish.
    """
    width, height = image.size
    if not is_extreme(width, height):
        return image
    longest = aspect * min(width, height)
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))


def shortened(image: Image.Image, height_px: int) -> Image.Image:
    """For a resize of both sides to given sizes: an extremely tall image is first reduced to `height_px` rows.

    Pillow resizes rows before columns, so that an extremely wide image needs no care.
    """
    width, height = image.size
    if height <= height_px or not is_extreme(width, height) or width > height:
        return image
    return image.resize((width, height_px), Image.Resampling.BICUBIC)
