"""The one decoder of image files: RGB pixels as a person sees the image. Imports no torch.

    open_rgb(Path("photo.jpg").read_bytes())          # an upright RGB image, transparent parts on white

Used by training, evaluation, `limbeck classify` and captions. The kind of a file is known from its content:

- The orientation in EXIF or XMP is applied. The first frame of an animation is shown, and of a TIFF the first page that
  is no thumbnail.
- Transparent parts are shown on a background: dropping the alpha channel would show colours that nobody sees.
- 16-bit, 32-bit and float greyscale is scaled to 8 bits (`limbeck.shared.images.deep_samples`).
- CMYK, Lab, YCbCr and other colour profiles are converted to sRGB (`limbeck.shared.images.colour_profiles`). CMYK
  without a profile is converted by Pillow's formula. `gAMA` of PNG and HDR curves are not applied.
- A truncated file is an error, never an image whose rest is grey.

A plain image (upright, opaque, 8 bits, sRGB or without profile) has the same pixels as in earlier releases, to the bit.
"""

import io
import warnings
from enum import IntFlag
from functools import lru_cache
from typing import Any

from PIL import ExifTags, Image, ImageCms, ImageFile, PngImagePlugin, TiffImagePlugin, features

from limbeck.shared.images.background import WHITE
from limbeck.shared.images.colour_profiles import srgb_transform, to_srgb
from limbeck.shared.images.deep_samples import alpha_of_colour_key, grey_8_bit, is_deep
from limbeck.shared.images.extreme_shapes import is_extreme
from limbeck.shared.images.properties import ImageProperties, has_deep_samples, is_animated
from limbeck.shared.images.tiff_pages import as_stored, scale_12_bits, skip_thumbnails, split_planes
from limbeck.shared.images.unreadable import UnreadableImage, heif_brand, reason_of

DECODER = "limbeck decoder 2"
"""Name of these rules, in bundles and in the digests of images with traits: change it when their pixels change."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "JPEG2000", "AVIF")
_EARLIER_FORMATS = frozenset({"JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF"})
_JPEG_FORMATS = frozenset({"JPEG", "MPO"})
_QUALITY = 85
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = frozenset(
    {Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_270, Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_90}
)
_START_OF_SCAN, _JPEG_END = b"\xda", b"\xff\xd9"
_PROFILE_MODES = frozenset({"RGB", "L", "CMYK", "LAB"})
_ENTROPY_CODED = frozenset({"PNG", "WEBP", "AVIF", "HEIF", *_JPEG_FORMATS})
_MIN_ZEROS = 1024  # no compressed pixels end in so many zero bytes

# Pillow warns of damaged EXIF data and of many pixels, in two lines for each file. The reason of a bad image says what
# matters. The filter is for all threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
# Pillow refuses a PNG with more than 1 MiB of compressed text, such as the workflow of an image generator, or with such
# a profile. The texts of one file may still have 64 MiB together.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

_Box = tuple[int, int, int, int]


class PixelTraits(IntFlag):
    """What the pixels of a file depend on beside its bytes. `distill.data.image_store` keeps them with its digest."""

    NONE = 0
    CHANGED = 1
    """Earlier releases decoded the file in another way, or not at all."""
    TRANSPARENT = 2
    """Some pixels show the background."""
    OPTIONAL = 4
    """It is read by a library that may be missing (`optional_readers`)."""


class OpenedImage:
    """An image file whose header was read. `traits`: known before a JPEG is decoded; other kinds are decoded for them.

    A file that cannot be opened raises no error until its pixels are wanted.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._image: Image.Image | None = None
        self._alpha: Image.Image | None = None
        self._turn: Image.Transpose | None = None
        self._transform: ImageCms.ImageCmsTransform | None = None
        self._is_animated = False
        self._is_deep = False
        self._is_turned = False
        self._error: Exception | None = None
        self.traits = PixelTraits.OPTIONAL if heif_brand(data) in ("heic", "avif") else PixelTraits.NONE
        try:
            self._read_header()
        except MemoryError:
            raise
        except Exception as error:  # decoders raise any exception
            self._error = error
            self.traits |= PixelTraits.CHANGED

    def require_header(self) -> None:
        """Raise UnreadableImage for a file whose header, or end, shows that it is no complete image."""
        if self._error is not None:
            raise UnreadableImage(reason_of(self._data, self._error)) from self._error

    def properties(self) -> ImageProperties:
        """How the image is shown. Raises UnreadableImage as `require_header`."""
        self.require_header()
        assert self._image is not None
        width, height = self._image.size
        if self._turn in _SWAPS_SIDES:
            width, height = height, width
        return ImageProperties(
            width,
            height,
            rotated=self._is_turned,
            transparent=self._alpha is not None,
            deep=self._is_deep,
            animated=self._is_animated,
        )

    def rgb(self, background: str = WHITE) -> Image.Image:
        """The pixels (mode RGB), transparent parts on `background` (`#rrggbb`). Raises UnreadableImage."""
        try:
            if self._error is not None:
                raise self._error
            return self._rgb(background)
        except MemoryError:
            raise
        except Exception as error:
            raise UnreadableImage(reason_of(self._data, error)) from error

    def _read_header(self) -> None:
        image = _open(self._data)
        traits = self.traits
        if image.format not in _EARLIER_FORMATS:
            traits |= PixelTraits.CHANGED
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            if skip_thumbnails(image) | split_planes(image):
                traits |= PixelTraits.CHANGED
            self._is_turned = _orientation(image) in _TURN  # which Pillow applies when it loads the image
        if image.format in _ENTROPY_CODED:
            _require_end(self._data, str(image.format))
        # A GIF is at its next frame afterwards, which may be damaged.
        self._is_animated = is_animated(_open(self._data) if image.format == "GIF" else image)
        self._is_deep = has_deep_samples(image)
        part = _first_part(image)
        if image.format not in _JPEG_FORMATS:
            image.load()
        self._turn = _TURN.get(_orientation(image))
        self._is_turned |= self._turn is not None
        if is_extreme(*image.size) or self._turn is not None:
            traits |= PixelTraits.CHANGED
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            stored = image
            image = scale_12_bits(as_stored(stored), stored, self._data)
            if image is not stored:
                traits |= PixelTraits.CHANGED
        self._image, self._alpha = _without_alpha(image, self._data)
        if part is not None:
            self._alpha = _only_in(part, self._image.size, self._alpha)
        if is_deep(self._image):
            self._image = _deep_grey(self._image)
            traits |= PixelTraits.CHANGED
        elif self._image.mode not in _PROFILE_MODES:
            self._image = self._image.convert("RGB")
        self._transform = srgb_transform(self._image, image.info.get("icc_profile"))
        if self._transform is not None:
            traits |= PixelTraits.CHANGED
        if self._alpha is not None:
            traits |= PixelTraits.CHANGED | PixelTraits.TRANSPARENT
        self.traits = traits

    def _rgb(self, background: str) -> Image.Image:
        image = self._image
        assert image is not None
        image.load()
        if self._transform is not None:
            image = to_srgb(image, self._transform)
        if image.mode != "RGB":
            image = image.convert("RGB")
        if self._alpha is not None:
            canvas = Image.new("RGB", image.size, background)
            canvas.paste(image, mask=self._alpha)
            image = canvas
        return image if self._turn is None else image.transpose(self._turn)


def open_rgb(data: bytes, background: str = WHITE) -> Image.Image:
    """Decode an image file to RGB; transparent parts show `background` (`#rrggbb`).

    Raises UnreadableImage for a file that is damaged, truncated, too large, or not an image.
    """
    return OpenedImage(data).rgb(background)


def small_jpeg(data: bytes, *, max_px: int) -> bytes:
    """Re-encode an image file as a JPEG whose longer side is at most `max_px`; images are never enlarged.

    Raises the errors of `open_rgb`.
    """
    image = open_rgb(data)
    image.thumbnail((max_px, max_px), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def optional_readers() -> str:
    """The libraries of `PixelTraits.OPTIONAL` that this installation has."""
    return " ".join(name for name, has in (("heif", _has_heif()), ("avif", _has_avif())) if has)


@lru_cache(maxsize=1)
def _has_heif() -> bool:
    try:
        import pillow_heif
    except ModuleNotFoundError:
        return False
    pillow_heif.register_heif_opener()
    return True


@lru_cache(maxsize=1)
def _has_avif() -> bool:
    return features.check("avif") is True


def _open(data: bytes) -> Image.Image:
    brand = heif_brand(data)
    if brand == "heic":
        if not _has_heif():
            raise UnreadableImage("it is a HEIC image: install the extra `heic` (pip install pillow-heif)")
        return Image.open(io.BytesIO(data), formats=("HEIF",))
    if brand == "avif" and not _has_avif():
        raise UnreadableImage("it is an AVIF image, which this Pillow does not read: install Pillow 11.3 or later")
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _first_part(image: Image.Image) -> _Box | None:
    """The part of a GIF that its first frame fills, if that is not all: the rest is transparent."""
    if image.format != "GIF" or not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return None
    extents = image.tile[0].extents
    return None if extents == (0, 0, *image.size) else extents


def _only_in(part: _Box, size: tuple[int, int], alpha: Image.Image | None) -> Image.Image:
    """An alpha channel that is transparent outside of `part`."""
    left, top, right, bottom = part
    shown = Image.new("L", size)
    shown.paste(255 if alpha is None else alpha.crop(part), (left, top, right, bottom))
    return shown


def _orientation(image: Image.Image) -> int:
    """The orientation in EXIF or XMP, 1 to 8; 1 if there is none or if it is damaged."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # parsers of EXIF raise any exception; viewers ignore a damaged one
        return 1
    return orientation if isinstance(orientation, int) else 1


def _without_alpha(image: Image.Image, data: bytes) -> tuple[Image.Image, Image.Image | None]:
    """The colours of a loaded image, and its alpha channel (mode L), None if all is opaque."""
    if not image.has_transparency_data:
        return image, None
    if image.format == "PNG":
        _scale_colour_key(image, bit_depth=data[24])
    if is_deep(image):
        colours, alpha = image, alpha_of_colour_key(image, image.info["transparency"])
    elif image.mode in ("1", "L", "LA", "La"):
        grey = image if image.mode == "LA" else image.convert("LA")
        colours, alpha = grey.getchannel("L"), grey.getchannel("A")
    else:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        colours, alpha = rgba.convert("RGB"), rgba.getchannel("A")
    levels = alpha.getextrema()
    # In a 32-bit BMP an alpha of zero everywhere means that the writer left it empty; viewers show the colours.
    is_unused = levels == (255, 255) or (image.format == "BMP" and levels == (0, 0))
    return colours, None if is_unused else alpha


def _scale_colour_key(image: Image.Image, *, bit_depth: int) -> None:
    """Scale the transparent colour of a PNG to 8 bits, like the pixels of fewer or more bits; Pillow leaves it."""
    key: Any = image.info.get("transparency")
    if image.mode == "RGB" and bit_depth == 16:
        image.info["transparency"] = tuple(channel >> 8 for channel in key)
    elif image.mode == "L" and bit_depth in (2, 4):
        image.info["transparency"] = key * 255 // (2**bit_depth - 1)


def _deep_grey(image: Image.Image) -> Image.Image:
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return grey_8_bit(image, full_range=True)
    tags: Any = image.tag_v2
    return grey_8_bit(
        image,
        full_range=False,
        is_unsigned=tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))[0] == 1,
        is_inverted=tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0,
    )


def _require_end(data: bytes, format: str) -> None:
    """Raise UnreadableImage for a file whose rest is zero bytes, which decoders would show as one colour.

    Such a file is an incomplete copy or download. The decoders themselves find a file that is too short.
    """
    content = data.rstrip(b"\0")
    num_zeros = len(data) - len(content)
    if format in _JPEG_FORMATS:
        is_complete = num_zeros < 2 or content.endswith(_JPEG_END) or data.find(_JPEG_END, _first_scan(data)) >= 0
    elif format == "PNG":
        is_complete = num_zeros < 2 or b"IEND" in data
    else:
        is_complete = num_zeros < _MIN_ZEROS or content.endswith((b"free", b"skip"))  # padding of a HEIF container
    if not is_complete:
        raise UnreadableImage("it is truncated, copy it again (its rest is zero bytes)")


def _first_scan(data: bytes) -> int:
    """Where the pixels of a JPEG start: behind its segments, which may hold the markers of a preview."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != _START_OF_SCAN:
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
