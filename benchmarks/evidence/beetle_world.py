"""Inputs of the arms on the beetles: three pictures a species to train on, one held out, and a pool without labels.

The groups are those of `examples.beetles.world`: choose on `validation`, and measure `test` once. The pool holds
beetles of no species, in all styles.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from PIL import Image

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
from examples.beetles.train_teacher import training_images

IMAGES_PER_SPECIES = 4
HELD_OUT = 0.25
POOL, POOL_SEED = 1440, 77
TEACHER = Path(beetles.__file__).with_name("teacher")


@dataclass(frozen=True)
class BeetleWorld(World):
    """The beetles' images in `folder`, and their caches."""

    @cached_property
    def teacher(self) -> Teacher:
        return load_teacher(f"local-dir:{TEACHER}")

    @cached_property
    def digest(self) -> str:
        content = f"{beetles.LOCK.read_text(encoding='utf-8')} {IMAGES_PER_SPECIES} {HELD_OUT} {POOL} {POOL_SEED}"
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
        return [bank_texts(one.name, LabelAttributes(one.sentence, one.phrases)) for one in beetles.species()]

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
