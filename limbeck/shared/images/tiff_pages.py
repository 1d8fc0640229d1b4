"""What Pillow leaves out when it reads a TIFF: thumbnail pages, separate planes, signed bytes, 12-bit colours.

Each function is for a `TiffImageFile` that is opened; `as_stored` and `scale_12_bits` are for one that is loaded.
"""

import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin
from PIL.TiffImagePlugin import TiffImageFile

from limbeck.shared.images.unreadable import UnreadableImage

_NEW_SUBFILE_TYPE, _REDUCED = 254, 1
_SEPARATE_PLANES = 2
_SIGNED = 2
_HIGH_BYTE_OF_12_BITS = 0x0F


def skip_thumbnails(image: TiffImageFile) -> bool:
    """Go to the first page that is not a reduced copy of another; returns whether that is a later page."""
    page = 0
    while int(image.tag_v2.get(_NEW_SUBFILE_TYPE, 0)) & _REDUCED:
        page += 1
        if page == image.n_frames:  # all are thumbnails
            page = 0
            image.seek(page)
            break
        image.seek(page)
    return page > 0


def split_planes(image: TiffImageFile) -> bool:
    """Correct how planes that are stored one after the other are read; returns whether that changes pixels.

    Pillow takes the first letters of the raw mode for the planes, so that 16-bit planes are read as 8-bit ones, and a
    single plane loses the rest of its raw mode: its depth, its byte order and whether 0 is white.
    """
    tags: Any = image.tag_v2
    if tags.get(TiffImagePlugin.PLANAR_CONFIGURATION) != _SEPARATE_PLANES or image.tile[0].codec_name != "raw":
        return False
    raw_mode = _raw_mode(tags)
    depth = "".join(raw_mode.partition(";")[1:])
    is_single = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1) == 1
    tiles = [_with_raw_mode(tile, lambda letter: raw_mode if is_single else letter + depth) for tile in image.tile]
    is_changed = tiles != image.tile
    image.tile = tiles
    return is_changed


def _with_raw_mode(tile: ImageFile._Tile, change: Callable[[str], str]) -> ImageFile._Tile:
    assert isinstance(tile.args, tuple)
    return tile._replace(args=(change(tile.args[0]), *tile.args[1:]))


def _raw_mode(tags: Any) -> str:
    """Pillow's raw mode of all planes together."""
    num_samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    bits, extra = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)), tags.get(TiffImagePlugin.EXTRASAMPLES, ())
    if not any(extra):
        num_samples, extra = num_samples - len(extra), ()
    key = (
        tags.prefix,
        tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0),
        tuple(sorted(set(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))))),
        tags.get(TiffImagePlugin.FILLORDER, 1),
        (bits * num_samples if len(bits) == 1 else bits)[:num_samples],
        extra,
    )
    try:
        return TiffImagePlugin.OPEN_INFO[key][1]
    except KeyError:
        raise UnreadableImage("it is a TIFF file with separate planes of a kind that is not read") from None


def as_stored(image: TiffImageFile) -> Image.Image:
    """The image, with its signed bytes (mode I) that Pillow takes for unsigned ones."""
    tags: Any = image.tag_v2
    if image.mode != "L" or tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0] != _SIGNED:
        return image
    return Image.fromarray(np.asarray(image).view(np.int8).astype(np.int32))


def scale_12_bits(image: Image.Image, opened: TiffImageFile, data: bytes) -> Image.Image:
    """The image, scaled if its colours are 12-bit values in 16 bits, of which Pillow shows the upper 8: almost black.

    Greyscale is scaled by `limbeck.shared.images.deep_samples`.
    """
    tags: Any = opened.tag_v2
    if image.mode != "RGB" or set(tags.get(TiffImagePlugin.BITSPERSAMPLE, ())) != {16}:
        return image
    if max(high for _, high in image.getextrema()) > _HIGH_BYTE_OF_12_BITS:  # type: ignore[misc]
        return image
    low_bytes = _low_bytes(data, page=opened.tell())
    levels = np.rint(np.arange(4096) * (255 / 4095)).astype(np.uint8)
    return Image.fromarray(levels[np.asarray(image).astype(np.uint16) << 8 | np.asarray(low_bytes)])


def _low_bytes(data: bytes, page: int) -> Image.Image:
    """The lower bytes of a 16-bit image, read in the other byte order."""
    other = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
    with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        assert isinstance(image, TiffImageFile)
        image.seek(page)
        split_planes(image)
        image.tile = [_with_raw_mode(tile, lambda mode: mode[:-1] + other[mode[-1]]) for tile in image.tile]
        image.load()
        return image.copy()
