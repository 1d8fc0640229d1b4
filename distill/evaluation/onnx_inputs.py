"""The images that the ONNX encoders of a student are quantised with and measured on.

Training images set the scales of the int8 encoder. Both encoders are measured on held-out and OOD images, decoded and
cropped as in the evaluation of the student. N images, B of a batch, C channels, P, Q height and width in pixels, D
embedding width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from distill import Stopped
from distill.bundle.onnx.files import Encode, OnnxInputs
from distill.bundle.onnx.int8 import Batch
from distill.data.counter_rng import Ints
from distill.data.crops import center_crop
from distill.data.decoded_images import DecodedImages, decode_images, eval_size
from distill.data.image_index import ImageIndex
from distill.data.image_store import Mask
from distill.evaluation.accuracy import evaluate_features
from distill.evaluation.measured_images import NoImages, evaluation_rows, evenly_spread, image_paths, measured_rows
from distill.evaluation.multi_label.measure import mean_precisions
from distill.hooks import PipelineHooks
from distill.json_types import EvaluatedPart, OnnxPartJSON
from distill.student.model import Student
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import PromptOptions

NUM_CALIBRATION_IMAGES = 128
MAX_MEASURED_IMAGES = 2000
"""A CPU encodes them with both encoders in about a minute; the accuracy is known to one percent point."""
BATCH_SIZE = 16
_PARTS: tuple[EvaluatedPart, ...] = ("id", "ood")


@dataclass(frozen=True, eq=False, kw_only=True)
class OnnxImages:
    """The images of a run, for one student and its text targets.

    `shots`: first images of each OOD label that are not measured. `root`: folder of the images, if not that of the
    index.
    """

    student: Student
    image_index: ImageIndex
    targets: TextTargets
    cache: Path
    shots: int = 0
    root: Path | None = None
    num_workers: int = 4
    hooks: PipelineHooks

    def inputs(self, prompt: PromptOptions, temperature: float, text: Teacher | None) -> OnnxInputs:
        """The inputs of `onnx/` in the bundle. `text`: the teacher whose text tower it will hold."""
        has_images = bool(evaluation_rows(self.image_index, self.shots))
        return OnnxInputs(
            temperature=temperature,
            templates=tuple(prompt.model_copy(update={"with_name": True}).prefixes("{}")),
            text=text,
            num_learned=0 if self.targets.context is None else len(self.targets.context),
            calibration=self.calibration,
            measure=self.measure if has_images else None,
        )

    def calibration(self) -> Iterator[Batch]:
        """Batches (B, C, P, Q) of training images, spread evenly over the dataset."""
        rows = self.image_index.part("train") or range(len(self.image_index))
        chosen = [rows[at] for at in evenly_spread(len(rows), NUM_CALIBRATION_IMAGES)]
        images = self._decoded(chosen)
        yield from self._batches(images, images.usable())

    def measure(self, encoders: Mapping[str, Encode]) -> dict[str, OnnxPartJSON]:
        """The accuracy of each encoder among the ID and the OOD labels, or its mean average precision if images have
        several labels. Raises NoImages, Stopped."""
        rows = evaluation_rows(self.image_index, self.shots)
        images = self._decoded(rows)
        usable = images.usable()
        if self.image_index.is_multi_label:
            return self._precisions(encoders, images, rows, usable)
        measured = measured_rows(self.image_index, rows, usable, self.root)
        numbers = np.arange(len(usable)) if measured.image_numbers is None else measured.image_numbers
        distinct = np.unique(numbers)
        kept = np.isin(numbers, distinct[evenly_spread(len(distinct), MAX_MEASURED_IMAGES)])
        features = self._features(encoders, images, usable[kept])
        labels = measured.labels[kept]
        is_unseen = np.isin(labels, self.image_index.ood_labels)
        parts: list[tuple[EvaluatedPart, Mask, Sequence[int]]] = [
            ("id", ~is_unseen, measured.id_labels),
            ("ood", is_unseen, measured.ood_labels),
        ]
        found: dict[str, OnnxPartJSON] = {}
        for name, selected, subset in parts:
            if not selected.any():
                continue
            accuracies = {
                encoder: evaluate_features(
                    torch.from_numpy(of_all[selected]),
                    labels[selected],
                    self.targets.features,
                    subset,
                    names=self.image_index.labels,
                    image_numbers=numbers[kept][selected],
                ).accuracy
                for encoder, of_all in features.items()
            }
            found[name] = {
                "float32": accuracies["float32"],
                "int8": accuracies["int8"],
                "num_images": len(np.unique(numbers[kept][selected])),
            }
        return found

    def _precisions(
        self, encoders: Mapping[str, Encode], images: DecodedImages, rows: Sequence[int], usable: Ints
    ) -> dict[str, OnnxPartJSON]:
        """The mean average precisions of the encoders on the `usable` ones (N,) of the images of `rows`."""
        if not len(usable):
            raise NoImages(f"none of the {len(rows)} images to evaluate on can be used")
        kept = usable[evenly_spread(len(usable), MAX_MEASURED_IMAGES)]
        of_index = [rows[at] for at in kept.tolist()]
        found = {
            encoder: mean_precisions(torch.from_numpy(features), of_index, self.image_index, self.targets.features)
            for encoder, features in self._features(encoders, images, kept).items()
        }
        precisions: dict[str, OnnxPartJSON] = {}
        for name in _PARTS:
            float32, int8 = getattr(found["float32"], name), getattr(found["int8"], name)
            if float32 is not None and int8 is not None:
                number = found["float32"].num_images[name]
                precisions[name] = {"float32": float32, "int8": int8, "num_images": number}
        return precisions

    def _decoded(self, rows: Sequence[int]) -> DecodedImages:
        """Images, from the array of the evaluation if it is cached, else decoded on access."""
        quiet = PipelineHooks(should_stop=self.hooks.should_stop)
        return decode_images(
            image_paths(self.image_index, rows, self.root),
            eval_size(self.student.size, self.student.test_crop),
            cache=self.cache,
            num_workers=self.num_workers,
            decoded_gb=0,
            background=self.student.background,
            interpolation=self.student.interpolation,
            hooks=quiet,
        )

    def _batches(self, images: DecodedImages, rows: Ints) -> Iterator[Batch]:
        """The centres of images, prepared for the student."""
        for start in range(0, len(rows), BATCH_SIZE):
            if self.hooks.stop_requested():
                raise Stopped(f"{start} of {len(rows)} images encoded")
            pixels = torch.from_numpy(images.pixels[rows[start : start + BATCH_SIZE]])
            prepared: Batch = self.student.normalise(center_crop(pixels, self.student.size)).numpy()
            yield prepared

    def _features(self, encoders: Mapping[str, Encode], images: DecodedImages, rows: Ints) -> dict[str, Batch]:
        """The embeddings (N, D) by each encoder, from one pass over the images."""
        features: dict[str, list[Batch]] = {name: [] for name in encoders}
        done = 0
        for batch in self._batches(images, rows):
            for name, encode in encoders.items():
                features[name].append(encode(batch))
            done += len(batch)
            self.hooks.progress(done, len(rows), "images")
        return {name: np.concatenate(of_one) for name, of_one in features.items()}
