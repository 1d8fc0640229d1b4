"""Inputs of the arms on the beetles: three pictures a species to train on, one held out, and a pool without labels.

The groups are those of `examples.beetles.world`: choose on `validation`, and measure `test` once. The pool holds
beetles of no species, in all styles. The second teacher is trained as the first one, on other images and captions.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Self

from PIL import Image

from benchmarks.evidence.arms import TrainingArm
from benchmarks.evidence.two_teachers import TwoTeachers
from benchmarks.evidence.world import World
from distill.config.train_config import TrainConfig
from distill.data.atomic_files import write_bytes
from distill.data.dataset.scan import scan
from distill.data.image_index import ImageIndex, Item
from distill.data.splits import NO_LABEL, ByList
from distill.evaluation.measured_images import image_paths
from distill.hooks import PipelineHooks
from distill.image_encoding import tuned_teacher_map
from distill.pipeline import measure_teacher
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, TextKind, bank_texts, render
from examples.beetles import world as beetles
from examples.beetles.parts import DESCRIBED, phrase
from examples.beetles.train_teacher import main as train_teacher
from examples.beetles.train_teacher import training_images

IMAGES_PER_SPECIES = 4
HELD_OUT = 0.25
POOL, POOL_SEED = 1440, 77
TEACHER = Path(beetles.__file__).with_name("teacher")
SECOND_SEED = 1


@dataclass(frozen=True)
class BeetleWorld(World):
    """The beetles' images in `folder`, and their caches.

    `num_teachers`: 2 for a second teacher, which is trained if it does not exist. `has_pairs`: the bank of phrases is
    of pairs of phrases.
    """

    num_teachers: int = 1
    has_pairs: bool = False

    def for_arm(self, arm: TrainingArm) -> Self:
        if (self.num_teachers, self.has_pairs) == (arm.num_teachers, arm.has_pairs):
            return self
        return replace(self, num_teachers=arm.num_teachers, has_pairs=arm.has_pairs)

    @cached_property
    def teacher(self) -> Teacher:
        first = load_teacher(f"local-dir:{TEACHER}")
        return first if self.num_teachers == 1 else TwoTeachers(first, self._second_teacher())

    def _second_teacher(self) -> Teacher:
        folder = self.folder / "second teacher"
        if not (folder / "trained").exists():
            train_teacher(["--out", str(folder), "--seed", str(SECOND_SEED), "--threads", "1"])
            write_bytes(folder / "trained", b"")
        return load_teacher(f"local-dir:{folder}")

    @cached_property
    def digest(self) -> str:
        content = f"{beetles.LOCK.read_text(encoding='utf-8')} {IMAGES_PER_SPECIES} {HELD_OUT} {POOL} {POOL_SEED}"
        if self.num_teachers > 1:
            content += f" {self.teacher.digest}"
        if self.has_pairs:
            content += f" {self.phrases}"
        return hashlib.sha256(content.encode()).hexdigest()

    def image_index(self, group: str, num_images: int = 3, num_pool: int = 0) -> ImageIndex:
        """At most three training images and one held-out image of each seen species, and those of `group`."""
        if not 1 <= num_images <= 3:
            raise ValueError(f"num_images is {num_images}: a species has three training images")
        members = beetles.species()
        seen, unseen = ([one.name for one in members if one.group == name] for name in ("train", group))
        split = ByList(by="list", id=tuple(seen), ood=tuple(unseen), held_out=HELD_OUT, seed=0)
        found = list(scan(self.folder / "pictures", [one.name for one in members], split))
        pool = [Item(f"../pool/{number:04d}.png", NO_LABEL, "unlabelled") for number in range(num_pool)]
        return ImageIndex.of(str(self.folder / "pictures"), [one.name for one in members], [*found, *pool])

    def targets(self, text: TextKind) -> TextTargets:
        texts = [render(text, one.name, LabelAttributes(one.sentence, one.phrases)) for one in beetles.species()]
        return encode_text_targets(self.teacher, texts, cache=self.cache)

    @cached_property
    def phrases(self) -> list[tuple[str, ...]]:
        return [
            bank_texts(one.name, LabelAttributes(one.sentence, _pairs(one) if self.has_pairs else one.phrases))
            for one in beetles.species()
        ]

    def measured_teacher(self, group: str, text: TextKind) -> tuple[float, float]:
        """The accuracy of the teacher on held-out images of the seen species, and on `group`."""
        if (group, text) not in self._measured:
            evaluation = self.teacher_on(group, text)
            assert evaluation.id is not None
            assert evaluation.ood is not None
            self._measured[group, text] = evaluation.id.accuracy, evaluation.ood.accuracy
        return self._measured[group, text]

    def measured_tuned_teacher(self, group: str, text: TextKind, config: TrainConfig) -> tuple[float, float]:
        """The same of the tuned teacher of `config`."""
        index, targets = self.image_index(group), self.targets(text)
        teacher_map = tuned_teacher_map(
            config,
            index,
            self.teacher,
            index.id_labels,
            targets.features[list(index.id_labels)],
            partial(image_paths, index, root=None),
            cache=self.cache,
            hooks=PipelineHooks(),
        )
        evaluation = measure_teacher(self.teacher, index, targets, text, cache=self.cache, teacher_map=teacher_map)
        assert evaluation.id is not None
        assert evaluation.ood is not None
        return evaluation.id.accuracy, evaluation.ood.accuracy

    @cached_property
    def _measured(self) -> dict[tuple[str, TextKind], tuple[float, float]]:
        return {}


def _pairs(one: beetles.BeetleSpecies) -> tuple[str, ...]:
    """A phrase for each pair of parts, such as `a split tail and short legs`."""
    rng = Random(f"pairs {one.name}")
    return tuple(
        f"{phrase(rng, one.beetle, first)} and {phrase(rng, one.beetle, second)}"
        for first, second in combinations(DESCRIBED, 2)
    )


def prepare_beetles(folder: Path) -> BeetleWorld:
    """The inputs in `folder`; draws missing images."""
    done = folder / "drawn" / f"beetles {IMAGES_PER_SPECIES} {POOL} {POOL_SEED}"
    if not done.exists():
        beetles.write_class_folders(folder / "pictures", list(beetles.GROUP_SIZES), IMAGES_PER_SPECIES)
        (folder / "pool").mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(training_images(POOL, POOL_SEED)[1]):
            Image.fromarray(pixels).save(folder / "pool" / f"{number:04d}.png")
        write_bytes(done, b"")
    return BeetleWorld(folder)
