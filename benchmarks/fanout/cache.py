"""How long a cache of teacher features takes to open: `python -m benchmarks.fanout cache`.

The features are in shards of one features part each, and are asked for in another order, as by a training.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.measurement import Measurement
from distill.data.row_cache import KEY_BYTES, RowCache

TARGET_S = 1.0


def measure(home: Path, *, images: int, chunk: int, width: int) -> Iterator[Measurement]:
    """Open a cache of `images` features of `width` numbers, in shards of `chunk`, and read all of them."""
    random = np.random.default_rng(0)
    keys = random.integers(0, 256, size=(images, KEY_BYTES), dtype=np.uint8)
    cache = RowCache(home / "image" / "features", width=width, dtype=np.float16)
    for start in range(0, images, chunk):
        part = keys[start : start + chunk]
        cache.add(part, np.repeat(part[:, :1].astype(np.float16), width, axis=1))
    wanted = keys[random.permutation(images)]
    wall, cpu = time.perf_counter(), time.process_time()
    opened = cache.open(wanted)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert opened.found.all()
    yield Measurement(
        f"cache of {images:,} images, opened", f"< {TARGET_S:g} s", f"{wall:.2f} s, {cpu:.2f} s of CPU", wall < TARGET_S
    )
    wall = time.perf_counter()
    rows = opened.read()
    wall = time.perf_counter() - wall
    assert (rows[:, -1] == wanted[:, 0]).all()
    yield Measurement("all rows read into memory", "", f"{wall:.2f} s, {rows.nbytes / 1e9:.2f} GB", None)
