"""Inputs of every arm: images, sentences and teacher of the frozen field guide, and three groups of species.

Students are trained on the `train` group. Recipes are chosen on `validation`; `test` is for the published figures.
Images are drawn once; all arms share decoded images and teacher features through the cache.
"""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Self

from benchmarks.evidence.arms import TrainingArm
from distill.data.atomic_files import write_bytes
from distill.data.dataset.scan import scan
from distill.data.image_index import ImageIndex, Item
from distill.data.splits import ByList
from distill.evaluation.accuracy import Evaluation
from distill.pipeline import measure_teacher
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, TextKind, bank_texts, render
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
    """The field guide's images in `folder`, and their caches."""

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
        """Digest of the frozen field guide and of the images that are used."""
        content = f"{LOCK.read_text(encoding='utf-8')} {sorted(IMAGES_PER_SPECIES.items())} {HELD_OUT} {SEED}"
        return hashlib.sha256(content.encode()).hexdigest()

    def for_arm(self, arm: TrainingArm) -> Self:
        """The inputs of an arm. Raises ValueError for a second teacher and for pairs of phrases."""
        if arm.num_teachers > 1 or arm.has_pairs:
            raise ValueError(f"{arm.name}: the field guide has one teacher, and no pairs of phrases")
        return self

    @cached_property
    def phrases(self) -> list[tuple[str, ...]]:
        """The phrases of each species, for a bank."""
        return [
            bank_texts(one.name, LabelAttributes(one.sentence, tuple(entry["phrase"] for entry in one.phrases)))
            for one in species()
        ]

    def image_index(self, group: str, num_images: int = IMAGES_PER_SPECIES[SEEN], num_pool: int = 0) -> ImageIndex:
        """Training and held-out images of the seen species, and images of the unseen species of `group`.

        `num_images`: maximum number of training images per seen species. Raises ValueError for a pool of images without
        labels, which the field guide has not.
        """
        if num_pool:
            raise ValueError("the field guide has no images without labels")
        labels = [one.name for one in species()]
        seen, unseen = ([one.name for one in species(name)] for name in (SEEN, group))
        split = ByList(by="list", id=tuple(seen), ood=tuple(unseen), held_out=HELD_OUT, seed=SEED)
        whole = scan(self.folder / "pictures", labels, split)
        counts: Counter[int] = Counter()

        def is_kept(item: Item) -> bool:
            counts[item.label] += item.part == "train"
            return item.part != "train" or counts[item.label] <= num_images

        return ImageIndex.of(whole.root, whole.labels, filter(is_kept, whole))

    def targets(self, text: TextKind) -> TextTargets:
        """Text targets of all species."""
        texts = [
            render(text, one.name, LabelAttributes(one.sentence, tuple(entry["phrase"] for entry in one.phrases)))
            for one in species()
        ]
        return encode_text_targets(self.teacher, texts, cache=self.cache)

    @cached_property
    def captions(self) -> Path:
        """A caption set: each image of the seen species has its own caption, as from a captioning model."""
        captions = {}
        for one in species(SEEN):
            for number in range(IMAGES_PER_SPECIES[SEEN]):
                rng = Random(f"caption {SEED} {one.name} {number}")
                parts = rng.sample(PARTS, k=rng.randint(5, len(PARTS)))
                captions[f"{one.folder}/{number:04d}.png"] = f"a photo of {describe(rng, one.attributes, parts)}."
        path = self.folder / "captions.json"
        write_bytes(path, json.dumps(captions).encode())
        return path

    def teacher_on(self, group: str, text: TextKind) -> Evaluation:
        """The teacher's evaluation on the same labels: the baseline of every student."""
        return measure_teacher(self.teacher, self.image_index(group), self.targets(text), text, cache=self.cache)


def prepare(folder: Path) -> World:
    """The inputs in `folder`; draws missing images."""
    for group, count in IMAGES_PER_SPECIES.items():
        done = folder / "drawn" / f"{group} {count} {SEED}"
        if not done.exists():
            write_class_folders(folder / "pictures", [group], count, SEED)
            write_bytes(done, b"")
    return World(folder)
