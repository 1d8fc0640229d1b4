"""The species of the beetles in three groups, and images of them.

    python -m examples.beetles.world --out DIR --groups train,validation --images-per-species 4

writes class folders `DIR/Brazoolp/0000.png` with the same pixels on every machine; `--style` draws one style only, a
domain, where the default takes the styles in turns. Species come in families whose members differ in one part: a red
beetle with a white band has a sister with a white ring. No beetle is in two groups.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.beetles.drawing import STYLES, draw
from examples.beetles.parts import DESCRIBED, PARTS, Beetle, nonsense_word, phrase, random_beetle, sentence

GROUP_SIZES = {"train": 480, "validation": 200, "test": 200}
FAMILY = 4
"""At most so many species differ in one part only."""
SEED = 20261130
LOCK = Path(__file__).with_name("world.lock.json")


@dataclass(frozen=True, kw_only=True)
class BeetleSpecies:
    """One species. `varies`: the part in which it differs from the other species of its family."""

    name: str
    group: str
    family: int
    varies: str
    beetle: Beetle
    sentence: str
    phrases: tuple[str, ...]


@cache
def _all_species() -> tuple[BeetleSpecies, ...]:
    rng, names, beetles = Random(f"beetles {SEED}"), set[str](), set[tuple[str, ...]]()
    made: list[BeetleSpecies] = []
    family = 0
    for group, size in GROUP_SIZES.items():
        last = len(made) + size
        while len(made) < last:
            base, varies = random_beetle(rng), list(PARTS)[family % len(PARTS)]
            members = [base | {varies: value} for value in rng.sample(PARTS[varies], k=len(PARTS[varies]))][:FAMILY]
            if any(tuple(one.values()) in beetles for one in members):
                continue
            family += 1
            for beetle in members[: last - len(made)]:
                beetles.add(tuple(beetle.values()))
                made.append(
                    BeetleSpecies(
                        name=_new_name(rng, names),
                        group=group,
                        family=family,
                        varies=varies,
                        beetle=beetle,
                        sentence=sentence(rng, beetle),
                        phrases=tuple(phrase(rng, beetle, part) for part in DESCRIBED),
                    )
                )
    return tuple(made)


def _new_name(rng: Random, names: set[str]) -> str:
    while (name := nonsense_word(rng)) in names:
        pass
    names.add(name)
    return name


def species(group: str | None = None) -> list[BeetleSpecies]:
    """The species of one group (`train`, `validation`, `test`), or of all groups. Raises ValueError."""
    if group is not None and group not in GROUP_SIZES:
        raise ValueError(f"no group {group!r}: choose one of {', '.join(GROUP_SIZES)}")
    return [member for member in _all_species() if group in (None, member.group)]


def species_image(member: BeetleSpecies, number: int, *, style: str | None = None) -> NDArray[np.uint8]:
    """Image `number` of a species, uint8 (32, 32, 3), in a style or in that of its turn."""
    key = int.from_bytes(hashlib.sha256(member.name.encode()).digest()[:8], "big")
    chosen = STYLES[(key + number) % len(STYLES)] if style is None else style
    return draw(member.beetle, chosen, np.random.default_rng([key, number, STYLES.index(chosen)]))


def write_class_folders(root: Path, groups: Sequence[str], images_per_species: int, *, style: str | None = None) -> int:
    """Write `root/Name/0000.png`, `0001.png`, … for the groups; returns the number of images."""
    for member in (one for group in groups for one in species(group)):
        folder = root / member.name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(images_per_species):
            Image.fromarray(species_image(member, number, style=style)).save(folder / f"{number:04d}.png")
    return images_per_species * sum(GROUP_SIZES[group] for group in groups)


def digests() -> dict[str, str]:
    """The content of `world.lock.json`: sha256 of the species, of a sample of pixels, and of the teacher's weights."""
    records = [[one.name, one.group, one.beetle, one.sentence, one.phrases] for one in species()]
    pixels = hashlib.sha256()
    for member in species()[::40]:
        for number in range(len(STYLES)):
            pixels.update(species_image(member, number).tobytes())
    teacher = Path(__file__).with_name("teacher") / "open_clip_model.safetensors"
    return {
        "species": hashlib.sha256(json.dumps(records).encode()).hexdigest(),
        "pictures": pixels.hexdigest(),
        "teacher": hashlib.sha256(teacher.read_bytes()).hexdigest(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write the images of the beetles as class folders.")
    parser.add_argument("--out", type=Path, help="output folder")
    parser.add_argument("--freeze", action="store_true", help="write world.lock.json, which ends every comparison")
    parser.add_argument("--groups", default="train", help="comma-separated: train, validation, test")
    parser.add_argument("--images-per-species", type=int, default=4, help="number of images per species")
    parser.add_argument("--style", choices=STYLES, help="one style for all images; in turns if not given")
    options = parser.parse_args(arguments)
    if options.freeze:
        LOCK.write_text(json.dumps(digests(), indent=2) + "\n", encoding="utf-8")
        return
    if options.out is None:
        parser.error("name a folder with --out")
    try:
        count = write_class_folders(
            options.out, options.groups.split(","), options.images_per_species, style=options.style
        )
    except ValueError as error:
        parser.error(str(error))
    print(f"{count} images in {options.out}")


if __name__ == "__main__":
    main()
