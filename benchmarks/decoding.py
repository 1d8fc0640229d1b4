"""Decoding speed: the decoder of images relative to plain Pillow, on photos that need nothing else.

    python -m benchmarks.decoding

Both read from memory, one image at a time, in turns on one thread; the figure is the best of several rounds, in
milliseconds of CPU per image. Plain Pillow is what releases before `limbeck decoder 2` did: open, load, convert to RGB.
"""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from limbeck.shared.images.decode import FORMATS, open_rgb

ROUNDS, ROUND_S = 9, 0.4
Decode = Callable[[bytes], Image.Image]


def plain_pillow(data: bytes) -> Image.Image:
    """Decode without orientation, transparency and profiles."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.load()
        return (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")


def photos(count: int, size: tuple[int, int]) -> list[Image.Image]:
    """Smooth random pictures of `size` (width, height)."""
    random = np.random.default_rng(0)
    coarse = [Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8)) for _ in range(count)]
    return [one.resize(size, Image.Resampling.BICUBIC) for one in coarse]


def file_sets() -> Mapping[str, Sequence[bytes]]:
    """Files by description."""
    small, large = photos(8, (500, 375)), photos(2, (2000, 1500))
    exif = Image.Exif()
    exif[271], exif[306] = "a camera", "2026:11:30 12:00:00"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {
        "JPEG 500 x 375": [_encoded(one, "JPEG", quality=90) for one in small],
        "JPEG 500 x 375, EXIF and sRGB": [
            _encoded(one, "JPEG", quality=90, exif=exif, icc_profile=profile) for one in small
        ],
        "JPEG 2000 x 1500": [_encoded(one, "JPEG", quality=90) for one in large],
        "PNG 500 x 375": [_encoded(one, "PNG") for one in small],
    }


def cpu_ms(decode: Decode, files: Sequence[bytes]) -> float:
    """CPU time per image of one round, in milliseconds."""
    start, count = time.process_time(), 0
    while (spent_s := time.process_time() - start) < ROUND_S:
        for data in files:
            decode(data)
        count += len(files)
    return spent_s / count * 1000


def main() -> None:
    """Print a table."""
    print(f"{'':32} {'Pillow':>10} {'decoder':>10} {'ratio':>8}")
    for name, files in file_sets().items():
        rounds = [(cpu_ms(plain_pillow, files), cpu_ms(open_rgb, files)) for _ in range(ROUNDS)]
        plain, own = (min(column) for column in zip(*rounds, strict=True))
        print(f"{name:32} {plain:7.3f} ms {own:7.3f} ms {own / plain:8.3f}")


def _encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


if __name__ == "__main__":
    main()
