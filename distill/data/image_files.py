"""Picture files: decoded as teachers expect them, and made small to be shown to a language model. Without torch."""

import io

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
_QUALITY = 85


def open_rgb(data: bytes) -> Image.Image:
    """Decode an image file to RGB, as timm and open_clip do: no turning by EXIF, transparency dropped.

    Raises whatever Pillow raises for a file that is damaged, cut short, too large, or no image.
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.load()
        # Straight to RGB, Pillow warns about a palette with transparency.
        return (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")


def small_jpeg(data: bytes, *, most_px: int) -> bytes:
    """An image file as a JPEG no side of which is longer than `most_px`; it is never made larger.

    Raises what `open_rgb` raises.
    """
    picture = open_rgb(data)
    picture.thumbnail((most_px, most_px), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
