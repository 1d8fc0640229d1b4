"""Small pictures and their files, for tests of the decoder."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

_RANDOM = np.random.default_rng(0)
COLOURS = Image.fromarray(_RANDOM.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(
    (32, 24), Image.Resampling.BICUBIC
)
GREY = COLOURS.convert("L")
FADE = Image.linear_gradient("L").resize(COLOURS.size)
"""An alpha channel, from 0 at the top to 255 at the bottom."""


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    """The image as a file; `options` that the format does not have are left out."""
    if format not in ("JPEG", "WEBP", "AVIF", "HEIF"):
        options.pop("quality", None)
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(bit_depth: int, colour_type: int, rows: list[bytes], *chunks: bytes, width: int = 4) -> bytes:
    """A PNG of these rows of packed samples, with `chunks` before its pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows), bit_depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    )


def tiff_of(
    *strips: bytes, width: int, bits: Sequence[int], tags: Mapping[int, int], order: str = "<", height: int = 1
) -> bytes:
    """An uncompressed TIFF of these bytes; `tags` beside the sizes, each one short number."""
    all_tags: dict[int, list[int]] = {256: [width], 257: [height], 258: list(bits), 262: [1], 277: [len(bits)]}
    all_tags |= {278: [height], 279: [len(strip) for strip in strips], 273: [0] * len(strips)}
    all_tags |= {tag: [value] for tag, value in tags.items()}
    at = 8 + 2 + 12 * len(all_tags) + 4
    at += sum(2 * len(values) for values in all_tags.values() if len(values) > 2)
    all_tags[273] = [at + sum(all_tags[279][:index]) for index in range(len(strips))]
    entries, behind = b"", b""
    for tag, values in sorted(all_tags.items()):
        packed = struct.pack(f"{order}{len(values)}H", *values)
        if len(packed) > 4:
            behind, packed = behind + packed, struct.pack(f"{order}I", 14 + 12 * len(all_tags) + len(behind))
        entries += struct.pack(f"{order}HHI", tag, 3, len(values)) + packed.ljust(4, b"\0")
    head = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(all_tags))
    return head + entries + bytes(4) + behind + b"".join(strips)


def largest_difference(one: Image.Image, other: Image.Image) -> int:
    """The largest difference between the pixels of two RGB images of one size, in levels of 255."""
    first, second = np.asarray(one.convert("RGB"), np.int16), np.asarray(other.convert("RGB"), np.int16)
    assert first.shape == second.shape
    return int(np.abs(first - second).max())


def on_colour(colours: Image.Image, alpha: Image.Image, background: str) -> Image.Image:
    """The colours (RGB) with this alpha channel over a background."""
    canvas = Image.new("RGB", colours.size, background)
    canvas.paste(colours, mask=alpha)
    return canvas


def record_resizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the number of pixels that each later resize of an image holds at most, beside the image."""
    sizes: list[int] = []
    resize = Image.Image.resize

    def recorded(image: Image.Image, to: tuple[int, int], *args: Any, **options: Any) -> Image.Image:
        # Pillow resizes rows before columns: between the passes it holds the new width and the old height.
        sizes.append(to[0] * max(to[1], image.height))
        return resize(image, to, *args, **options)

    monkeypatch.setattr(Image.Image, "resize", recorded)
    return sizes
