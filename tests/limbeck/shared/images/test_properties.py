"""Properties of images of each kind and format."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limbeck.shared.images.decode import OpenedImage
from limbeck.shared.images.properties import ImageProperties
from limbeck.shared.images.unreadable import UnreadableImage
from tests.limbeck.shared.images.pictures import chunk, png_of

NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
COLOUR = Image.fromarray(NOISE)
DEEP_GREY = Image.fromarray(NOISE[:, :, 0].astype(np.uint16) * 257)
PLAIN = ImageProperties(30, 20)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def clear(image: Image.Image) -> Image.Image:
    """A copy with an alpha channel and one transparent pixel."""
    copy = image.convert("RGBA")
    copy.putpixel((0, 0), (1, 2, 3, 0))
    return copy


def png_with_key(bit_depth: int, num_channels: int) -> bytes:
    """Black, which is transparent."""
    key = chunk(b"tRNS", bytes(2 * num_channels))
    row = bytes(30 * num_channels * bit_depth // 8 + 1)
    return png_of(bit_depth, 2 if num_channels == 3 else 0, [row] * 20, key, width=30)


CASES = {
    "JPEG": (saved(COLOUR, "JPEG"), PLAIN),
    "PNG": (saved(COLOUR, "PNG"), PLAIN),
    "WebP": (saved(COLOUR, "WEBP"), PLAIN),
    "BMP": (saved(COLOUR, "BMP"), PLAIN),
    "TIFF": (saved(COLOUR, "TIFF"), PLAIN),
    "GIF": (saved(COLOUR, "GIF"), PLAIN),
    "rotated JPEG": (saved(COLOUR, "JPEG", exif=oriented(6)), ImageProperties(20, 30, rotated=True)),
    "rotated PNG": (saved(COLOUR, "PNG", exif=oriented(6)), ImageProperties(20, 30, rotated=True)),
    "rotated WebP": (saved(COLOUR, "WEBP", exif=oriented(8)), ImageProperties(20, 30, rotated=True)),
    "rotated TIFF": (saved(COLOUR, "TIFF", exif=oriented(8)), ImageProperties(20, 30, rotated=True)),
    "mirrored": (saved(COLOUR, "JPEG", exif=oriented(2)), ImageProperties(30, 20, rotated=True)),
    "upright": (saved(COLOUR, "JPEG", exif=oriented(1)), PLAIN),
    "unknown orientation": (saved(COLOUR, "JPEG", exif=oriented(99)), PLAIN),
    "damaged EXIF": (saved(COLOUR, "JPEG", exif=b"Exif\0\0damaged"), PLAIN),
    "opaque alpha": (saved(COLOUR.convert("RGBA"), "PNG"), PLAIN),
    "transparent PNG": (saved(clear(COLOUR), "PNG"), ImageProperties(30, 20, transparent=True)),
    "transparent WebP": (saved(clear(COLOUR), "WEBP", lossless=True), ImageProperties(30, 20, transparent=True)),
    "transparent grey": (saved(clear(COLOUR).convert("LA"), "PNG"), ImageProperties(30, 20, transparent=True)),
    "transparent palette": (saved(clear(COLOUR).quantize(), "PNG"), ImageProperties(30, 20, transparent=True)),
    "transparent value": (
        saved(Image.new("L", (30, 20)), "PNG", transparency=0),
        ImageProperties(30, 20, transparent=True),
    ),
    "1 bit": (saved(Image.new("1", (30, 20)), "PNG"), PLAIN),
    "16 bits grey PNG": (saved(DEEP_GREY, "PNG"), ImageProperties(30, 20, deep=True)),
    "16 bits grey TIFF": (saved(DEEP_GREY, "TIFF"), ImageProperties(30, 20, deep=True)),
    "16 bits colour": (png_of(16, 2, [bytes(30 * 6)] * 20, width=30), ImageProperties(30, 20, deep=True)),
    "transparent value of 2 bits": (png_with_key(2, 1), ImageProperties(30, 20, transparent=True)),
    "transparent value of 16 bits": (png_with_key(16, 1), ImageProperties(30, 20, transparent=True, deep=True)),
    "transparent colour of 16 bits": (png_with_key(16, 3), ImageProperties(30, 20, transparent=True, deep=True)),
    "float": (saved(Image.new("F", (30, 20)), "TIFF"), ImageProperties(30, 20, deep=True)),
    "animation": (
        saved(COLOUR, "GIF", save_all=True, append_images=[COLOUR.rotate(180)]),
        ImageProperties(30, 20, animated=True),
    ),
    "photo with previews": (saved(COLOUR, "MPO", save_all=True, append_images=[COLOUR.rotate(180)]), PLAIN),
}


@pytest.mark.parametrize(("data", "expected"), CASES.values(), ids=list(CASES))
def test_properties(data: bytes, expected: ImageProperties) -> None:
    opened = OpenedImage(data)
    assert opened.properties() == expected
    assert opened.rgb().size == (expected.width, expected.height)


def test_damaged_later_frame_of_an_animation() -> None:
    data = saved(COLOUR, "GIF", save_all=True, append_images=[COLOUR.rotate(180)])
    assert OpenedImage(data[: data.rindex(b",") + 4]).properties()[:2] == (30, 20)


def test_truncated_pixels_are_an_error_and_not_damaged_exif_data() -> None:
    data = saved(COLOUR, "PNG")
    with pytest.raises(UnreadableImage, match="truncated"):
        OpenedImage(data[: len(data) // 2]).properties()
