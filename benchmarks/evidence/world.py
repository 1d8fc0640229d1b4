"""What every arm starts from: the frozen field guide's pictures, sentences and teacher, and three groups of labels.

Students learn from the `train` group. Recipes are chosen on `validation`; `test` is for the figure that is published.
Pictures are drawn once; decoded pictures and the teacher's features are shared by all arms through the cache.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from distill.data.atomic_files import write_bytes
from distill.data.image_index import ImageIndex, Item, scan
from distill.data.splits import ByList
from distill.evaluation.accuracy import Evaluation
from distill.pipeline import measure_teacher
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, TextKind, render
from examples.fieldguide.language import PARTS, describe
from examples.fieldguide.world import species, write_class_folders

SEEN = "train"
IMAGES_PER_SPECIES = {SEEN: 60, "validation": 20, "test": 20}
HELD_OUT = 0.1
SEED = 0
TEACHER = Path(__file__).parents[2] / "examples" / "fieldguide" / "teacher"
LOCK = TEACHER.parent / "world.lock.json"


@dataclass(frozen=True)
class World:
    """Pictures below `folder`, with caches beside them."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @cached_property
    def teacher(self) -> Teacher:
        """The field guide's tiny CLIP."""
        return load_teacher(f"local-dir:{TEACHER}")

    @cached_property
    def digest(self) -> str:
        """Of the frozen world and of how much of it is used."""
        said = f"{LOCK.read_text(encoding='utf-8')} {sorted(IMAGES_PER_SPECIES.items())} {HELD_OUT} {SEED}"
        return hashlib.sha256(said.encode()).hexdigest()

    def image_index(self, group: str, pictures: int = IMAGES_PER_SPECIES[SEEN]) -> ImageIndex:
        """Images to train on, `pictures` at most of each seen species, and held out; those of `group` as never seen."""
        labels = [one.name for one in species()]
        seen, unseen = ([one.name for one in species(name)] for name in (SEEN, group))
        split = ByList(by="list", id=tuple(seen), ood=tuple(unseen), held_out=HELD_OUT, seed=SEED)
        whole = scan(self.folder / "pictures", labels, split)
        used: Counter[int] = Counter()

        def within(item: Item) -> bool:
            used[item.label] += item.part == "train"
            return item.part != "train" or used[item.label] <= pictures

        return ImageIndex.of(whole.root, whole.labels, filter(within, whole))

    def targets(self, text: TextKind) -> TextTargets:
        """What the teacher makes of every species' text."""
        said = [
            render(text, one.name, LabelAttributes(one.sentence, tuple(entry["phrase"] for entry in one.phrases)))
            for one in species()
        ]
        return encode_text_targets(self.teacher, said, cache=self.cache)

    @cached_property
    def captions(self) -> Path:
        """A caption set: each picture of the seen species in words of its own, as a captioning model might see it."""
        said = {}
        for one in species(SEEN):
            for number in range(IMAGES_PER_SPECIES[SEEN]):
                rng = Random(f"caption {SEED} {one.name} {number}")
                parts = rng.sample(PARTS, k=rng.randint(5, len(PARTS)))
                said[f"{one.folder}/{number:04d}.png"] = f"a photo of {describe(rng, one.attributes, parts)}."
        path = self.folder / "captions.json"
        write_bytes(path, json.dumps(said).encode())
        return path

    def teacher_on(self, group: str, text: TextKind) -> Evaluation:
        """The teacher itself among the same labels, the baseline of every student."""
        return measure_teacher(self.teacher, self.image_index(group), self.targets(text), text, cache=self.cache)


def prepare(folder: Path) -> World:
    """The world below `folder`, drawn where it is not there yet."""
    for group, count in IMAGES_PER_SPECIES.items():
        done = folder / "drawn" / f"{group} {count} {SEED}"
        if not done.exists():
            write_class_folders(folder / "pictures", [group], count, SEED)
            write_bytes(done, b"")
    return World(folder)
