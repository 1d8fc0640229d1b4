"""Small image files for tests that need readable images and do not look at them."""

import hashlib
import io

from PIL import Image


def tiny_image(key: str) -> bytes:
    """A PNG of 4 x 4 pixels; another key gives other pixels."""
    pixels = hashlib.shake_128(key.encode("utf-8", "surrogateescape")).digest(4 * 4 * 3)
    out = io.BytesIO()
    Image.frombytes("RGB", (4, 4), pixels).save(out, "PNG")
    return out.getvalue()
