"""The field guide's world: which species there are, and pictures of them.

    python -m examples.fieldguide.world --out DIR --groups train,validation --images-per-species 40 --seed 0

writes class folders `DIR/Crimson_Tolpard/0000.png`, the same pixels on every machine. `species(group)` and
`write_class_folders(…)` do the same from Python; `draw` draws any creature.
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

from examples.fieldguide.drawing import PICTURE_PX, draw
from examples.fieldguide.language import Attributes

__all__ = ["GROUPS", "PICTURE_PX", "Species", "draw", "picture", "species", "write_class_folders"]

GROUPS = ("train", "validation", "test")
_SPECIES_FILE = Path(__file__).with_name("species.json")


@dataclass(frozen=True, kw_only=True)
class Species:
    """One species as the field guide has it; `phrases` are `{part, value, phrase}`."""

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
    """The species of one group (`train`, `validation`, `test`), or all."""
    if group is not None and group not in GROUPS:
        raise ValueError(f"no group {group!r}: there are {', '.join(GROUPS)}")
    return [one for one in _all_species() if group in (None, one.group)]


def picture(one: Species, number: int, seed: int) -> NDArray[np.uint8]:
    """Picture `number` of a species, uint8 (64, 64, 3): a function of name, number and seed alone."""
    name = int.from_bytes(hashlib.sha256(one.name.encode()).digest()[:8], "big")
    return draw(one.attributes, np.random.default_rng([seed, name, number]))


def _write_one(one: Species, root: Path, images: int, seed: int) -> int:
    folder = root / one.folder
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(images):
        # Noise does not compress: the lowest level is as small as the highest, and quicker.
        Image.fromarray(picture(one, number, seed)).save(folder / f"{number:04d}.png", compress_level=1)
    return images


def write_class_folders(
    root: Path | str, groups: Sequence[str], images_per_species: int, seed: int, *, workers: int | None = None
) -> int:
    """Write `root/Species_Name/0000.png` and on for the groups; returns how many pictures were written."""
    if images_per_species < 1:
        raise ValueError(f"images_per_species must be at least 1, not {images_per_species}")
    chosen = [one for group in groups for one in species(group)]
    write = partial(_write_one, root=Path(root), images=images_per_species, seed=seed)
    processes = min(workers or os.cpu_count() or 1, len(chosen))
    if processes == 1 or len(chosen) * images_per_species < 200:
        return sum(map(write, chosen))
    # Spawned, because a caller may hold threads (torch, a server) that a fork would copy in mid-lock.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(write, chosen, chunksize=4))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the field guide's pictures as class folders.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--groups", default="train", help="comma-separated: train, validation, test")
    parser.add_argument("--images-per-species", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    groups = [group.strip() for group in options.groups.split(",") if group.strip()]
    try:
        written = write_class_folders(options.out, groups, options.images_per_species, options.seed)
    except ValueError as error:
        parser.error(str(error))
    took = time.perf_counter() - started
    print(f"{written} pictures in {options.out}: {took:.1f} s, {written / took:.0f} a second")


if __name__ == "__main__":
    main()
