"""Image files: decoded as teachers expect them, and downscaled to be sent to a language model. Imports no torch."""

import io

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
_QUALITY = 85


def open_rgb(data: bytes) -> Image.Image:
    """Decode an image file to RGB as timm and open_clip do: EXIF rotation is ignored, transparency dropped.

    Raises Pillow's errors for a file that is damaged, truncated, too large, or not an image.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.load()
        # Pillow warns when a palette with transparency is converted directly to RGB.
        return (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")


def small_jpeg(data: bytes, *, max_px: int) -> bytes:
    """Re-encode an image file as a JPEG whose longer side is at most `max_px`; images are never enlarged.

    Raises the errors of `open_rgb`.
    """
    image = open_rgb(data)
    image.thumbnail((max_px, max_px), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
