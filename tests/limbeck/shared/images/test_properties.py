"""Properties of images of each kind and format."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from limbeck.shared.images.properties import ImageProperties, read_properties

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


def deep_colour_png() -> bytes:
    """16 bits per channel, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(30 * 6) for _ in range(20))
    header = struct.pack(">IIBBBBB", 30, 20, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


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
    "16 bits colour": (deep_colour_png(), ImageProperties(30, 20, deep=True)),
    "float": (saved(Image.new("F", (30, 20)), "TIFF"), ImageProperties(30, 20, deep=True)),
    "animation": (
        saved(COLOUR, "GIF", save_all=True, append_images=[COLOUR.rotate(180)]),
        ImageProperties(30, 20, animated=True),
    ),
    "photo with previews": (saved(COLOUR, "MPO", save_all=True, append_images=[COLOUR.rotate(180)]), PLAIN),
}


@pytest.mark.parametrize(("data", "expected"), CASES.values(), ids=list(CASES))
def test_properties(data: bytes, expected: ImageProperties) -> None:
    with Image.open(io.BytesIO(data)) as image:
        assert read_properties(image) == expected


def test_truncated_pixels_are_an_error_and_not_damaged_exif_data() -> None:
    data = saved(COLOUR, "PNG")
    with Image.open(io.BytesIO(data[: len(data) // 2])) as image, pytest.raises(OSError, match="truncated"):
        read_properties(image)
