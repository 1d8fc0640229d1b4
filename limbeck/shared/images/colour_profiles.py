"""Colour profiles (ICC): the colours of an image in sRGB, which screens and models expect.

Rendering is relative colorimetric with black point compensation, as in Photoshop. A profile that maps every colour to
itself within `TOLERANCE` is sRGB under one of its many names; its images are left as they are, to the bit. A profile
that is damaged, or that does not fit the mode of the image, is ignored, as viewers do.
"""

import io
from functools import lru_cache

from PIL import Image, ImageCms

TOLERANCE = 2
"""Largest difference to sRGB, in levels of 255, of a profile that counts as sRGB."""
_COLOUR_SPACE = slice(16, 20)
"""Where a profile says which colours it is for."""
_GRID = (0, 1, 2, 4, 8, 16, 32, 64, 96, 128, 160, 192, 224, 255)
_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE  # without a cache threads can share it


def srgb_transform(image: Image.Image, profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB of an image without alpha; None if its colours need none or its `profile` cannot be used.

    An image of mode LAB has no profile and always needs one.
    """
    if image.mode == "LAB":
        return _lab_transform()
    if not profile or image.mode not in ("RGB", "L", "CMYK"):
        return None
    is_grey_of_a_screen = image.mode == "L" and profile[_COLOUR_SPACE] == b"RGB "
    return _profile_transform(profile, "RGB" if is_grey_of_a_screen else image.mode)


def to_srgb(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    """The image (mode RGB) after a transform of `srgb_transform`."""
    if image.mode != transform.input_mode:  # greyscale with a profile of RGB, as browsers show it
        image = image.convert(transform.input_mode)
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is None only if the image is changed in place
    return converted


@lru_cache(maxsize=64)
def _profile_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = _transform(source, mode)
        return None if mode != "CMYK" and _is_identity(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(maxsize=1)
def _lab_transform() -> ImageCms.ImageCmsTransform:
    return _transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")


def _transform(source: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=_FLAGS,
    )


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the transform keeps the colours of a grid within `TOLERANCE`."""
    if mode == "L":
        colours = [(level, level, level) for level in _GRID]
        grid = Image.frombytes("L", (len(_GRID), 1), bytes(_GRID))
    else:
        colours = [(red, green, blue) for red in _GRID for green in _GRID for blue in _GRID]
        grid = Image.frombytes("RGB", (len(colours), 1), b"".join(map(bytes, colours)))
    shown = to_srgb(grid, transform).tobytes()
    return all(abs(one - other) <= TOLERANCE for one, other in zip(shown, b"".join(map(bytes, colours)), strict=True))
