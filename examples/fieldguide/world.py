"""The species of the field guide and images of them.

    python -m examples.fieldguide.world --out DIR --groups train,validation --images-per-species 40 --seed 0

writes class folders `DIR/Crimson_Tolpard/0000.png` with the same pixels on every machine. From Python, use
`species(group)` and `write_class_folders(…)`; `draw` draws any creature.
"""

import argparse
import hashlib
import json
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.fieldguide.drawing import IMAGE_PX, draw
from examples.fieldguide.language import Attributes

__all__ = ["GROUPS", "IMAGE_PX", "Species", "draw", "species", "species_image", "write_class_folders"]

GROUPS = ("train", "validation", "test")
_SPECIES_FILE = Path(__file__).with_name("species.json")


@dataclass(frozen=True, kw_only=True)
class Species:
    """One species of the field guide; `phrases` are `{part, value, phrase}`."""

    name: str
    group: str
    attributes: Attributes
    sentence: str
    phrases: tuple[dict[str, str], ...]

    @property
    def folder(self) -> str:
        return self.name.replace(" ", "_")


@cache
def _all_species() -> tuple[Species, ...]:
    records = json.loads(_SPECIES_FILE.read_text(encoding="utf-8"))
    return tuple(Species(**{**record, "phrases": tuple(record["phrases"])}) for record in records)


def species(group: str | None = None) -> list[Species]:
    """The species of one group (`train`, `validation`, `test`), or of all groups. Raises ValueError."""
    if group is not None and group not in GROUPS:
        raise ValueError(f"no group {group!r}: choose one of {', '.join(GROUPS)}")
    return [member for member in _all_species() if group in (None, member.group)]


def species_image(member: Species, number: int, seed: int) -> NDArray[np.uint8]:
    """Image `number` of a species, uint8 (64, 64, 3); it depends only on the name, `number` and `seed`."""
    name = int.from_bytes(hashlib.sha256(member.name.encode()).digest()[:8], "big")
    return draw(member.attributes, np.random.default_rng([seed, name, number]))


def _write_class_folder(member: Species, root: Path, num_images: int, seed: int) -> int:
    folder = root / member.folder
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(num_images):
        # Noise does not compress: the lowest level gives the same size as the highest and is faster.
        Image.fromarray(species_image(member, number, seed)).save(folder / f"{number:04d}.png", compress_level=1)
    return num_images


def write_class_folders(
    root: Path | str, groups: Sequence[str], images_per_species: int, seed: int, *, workers: int | None = None
) -> int:
    """Write `root/Species_Name/0000.png`, `0001.png`, … for the groups; returns the number of images written."""
    if images_per_species < 1:
        raise ValueError(f"images_per_species must be at least 1, not {images_per_species}")
    chosen = [member for group in groups for member in species(group)]
    write = partial(_write_class_folder, root=Path(root), num_images=images_per_species, seed=seed)
    processes = min(workers or os.cpu_count() or 1, len(chosen))
    if processes == 1 or len(chosen) * images_per_species < 200:
        return sum(map(write, chosen))
    # Spawn, because the caller may run threads (torch, a server) and a fork would copy their locks while held.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(write, chosen, chunksize=4))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the images of the field guide as class folders.")
    parser.add_argument("--out", type=Path, required=True, help="output folder")
    parser.add_argument("--groups", default="train", help="comma-separated: train, validation, test")
    parser.add_argument("--images-per-species", type=int, default=40, help="number of images per species")
    parser.add_argument("--seed", type=int, default=0, help="seed of the images")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    groups = [group.strip() for group in options.groups.split(",") if group.strip()]
    try:
        written = write_class_folders(options.out, groups, options.images_per_species, options.seed)
    except ValueError as error:
        parser.error(str(error))
    seconds = time.perf_counter() - started
    print(f"{written} images in {options.out}: {seconds:.1f} s, {written / seconds:.0f} per second")


if __name__ == "__main__":
    main()
