"""The errors of a student, and of a baseline, on corrupted images: each kind at each strength, made on the fly.

An image is prepared as ImageNet-C prepares its own: the part of it that the student sees at evaluation, at 224 px.
It is corrupted at that size, and then reduced to the size of the student. So students of any size see the same
corrupted images, and a small one sees less of a fine corruption. Threads corrupt the next images during the forward
pass. N images, B of a batch, D embedding width.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill import Stopped
from distill.config.corruption_kinds import CORRUPTION_KINDS, STRENGTHS, CorruptionKind
from distill.config.image_size import ImageSize
from distill.data.counter_rng import Ints
from distill.data.crops import center_crop
from distill.data.decoded_images import DecodedImages, Pixels, decode_images, eval_size
from distill.evaluation.accuracy import mean_per_class_accuracy
from distill.evaluation.corruptions.corrupt import IMAGE_PX, corrupted
from distill.evaluation.corruptions.errors import CorruptionErrors, Errors, corruption_errors
from distill.hooks import PipelineHooks
from distill.student.model import Student
from limbeck.shared.text import counted

BATCH_SIZE = 64


@dataclass(frozen=True, eq=False, kw_only=True)
class CorruptedImages:
    """The images to corrupt. `paths`: N files; `labels` (N,): indices of the text targets.

    `image_numbers` (N,): equal for the rows of one image. `background`: shown by transparent parts.
    """

    paths: Sequence[Path]
    labels: Ints
    image_numbers: Ints
    background: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Classifier:
    """A model and the targets (K, D) of all labels; `labels`: those that it can tell apart."""

    student: Student
    targets: Tensor
    labels: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class Corruptions:
    """The errors of a student on the images of seen and of unseen labels; None for a part without images.

    `baseline`: of the closed-set classifier, on the images of seen labels.
    """

    image_px: int
    strengths: tuple[int, ...]
    id: CorruptionErrors | None
    ood: CorruptionErrors | None
    baseline: CorruptionErrors | None


def measure_corruptions(
    student: Classifier,
    baseline: Classifier | None,
    images: CorruptedImages,
    parts: Mapping[str, Sequence[int]],
    *,
    cache: Path,
    device: torch.device,
    num_workers: int,
    hooks: PipelineHooks,
    kinds: Sequence[CorruptionKind] = CORRUPTION_KINDS,
) -> Corruptions:
    """Measure all kinds at all strengths. `parts`: the labels of the parts `id` and `ood`; each is classified alone.

    Raises Stopped, and ValueError for a baseline that lacks labels of the part `id`.
    """
    run = _CorruptedRun(student, baseline, images, cache, device, num_workers, hooks)
    found = {name: run.errors_of(parts.get(name, ()), with_baseline=name == "id") for name in ("id", "ood")}
    if baseline is not None and found["id"] and not baseline.labels.issuperset(parts["id"]):
        raise ValueError("the baseline was trained on other labels than those of the held-out images: give its own run")
    total = len(kinds) * len(STRENGTHS) * run.num_images
    for number, (kind, strength) in enumerate([(None, 0), *((kind, one) for kind in kinds for one in STRENGTHS)]):
        features = run.features(kind, strength)
        for part in found.values():
            if part is not None:
                part.add(kind, features)
        hooks.progress(number * run.num_images, total, "images")
    of_seen, of_unseen = found["id"], found["ood"]
    measured_baseline = None if of_seen is None or baseline is None else of_seen.result("baseline")
    return Corruptions(
        image_px=IMAGE_PX,
        strengths=STRENGTHS,
        id=None if of_seen is None else of_seen.result("student"),
        ood=None if of_unseen is None else of_unseen.result("student"),
        baseline=measured_baseline,
    )


class _CorruptedRun:
    """Decoded images, and the models that see them corrupted."""

    def __init__(
        self,
        student: Classifier,
        baseline: Classifier | None,
        images: CorruptedImages,
        cache: Path,
        device: torch.device,
        num_workers: int,
        hooks: PipelineHooks,
    ) -> None:
        self._models = {"student": student} if baseline is None else {"student": student, "baseline": baseline}
        self._device, self._num_workers, self._hooks = device, num_workers, hooks
        self._decoded: DecodedImages = decode_images(
            images.paths,
            eval_size(ImageSize(IMAGE_PX, IMAGE_PX), student.student.test_crop),
            cache=cache,
            num_workers=num_workers,
            background=images.background,
            interpolation=student.student.interpolation,
            hooks=PipelineHooks(should_stop=hooks.should_stop),
        )
        self._rows = self._decoded.usable()
        self._labels, self._numbers = images.labels[self._rows], images.image_numbers[self._rows]
        for model in self._models.values():
            model.student.model.to(device).eval()

    @property
    def num_images(self) -> int:
        """Images that can be decoded."""
        return len(self._rows)

    def errors_of(self, part: Sequence[int], *, with_baseline: bool) -> "_PartErrors | None":
        """The errors among the labels of a part, to be filled; None without images."""
        rows = np.flatnonzero(np.isin(self._labels, list(part)))
        models = {name: model for name, model in self._models.items() if name == "student" or with_baseline}
        return _PartErrors(models, part, self._labels[rows], self._numbers[rows], rows) if len(rows) else None

    @torch.inference_mode()
    def features(self, kind: CorruptionKind | None, strength: int) -> dict[str, Tensor]:
        """The features (N, D) by each model of the corrupted images; of the clean ones without a kind."""
        found: dict[str, list[Tensor]] = {name: [] for name in self._models}
        for batch in self._batches(kind, strength):
            for name, model in self._models.items():
                student = model.student
                size = (student.size.height, student.size.width)
                pixels = batch
                if pixels.shape[-2:] != size:
                    reduced = F.interpolate(pixels, size=size, mode=student.interpolation, antialias=True)
                    pixels = reduced.clamp_(0, 255).round_()
                found[name].append(student.model(student.normalise(pixels)).float().cpu())
        return {name: torch.cat(batches) for name, batches in found.items()}

    def _batches(self, kind: CorruptionKind | None, strength: int) -> Iterator[Tensor]:
        """Corrupted images (B, 3, 224, 224), float32, 0 to 255."""
        pixels, contents = self._decoded.pixels, self._decoded.contents

        def corrupt(row: int) -> Pixels:
            cut = center_crop(torch.from_numpy(pixels[np.array([row])]), IMAGE_PX)[0].permute(1, 2, 0).numpy()
            return cut if kind is None else corrupted(cut, kind, strength, contents[row].tobytes())

        def batch(rows: Sequence[int]) -> Tensor:
            images = np.stack([corrupt(row) for row in rows])
            return torch.from_numpy(images).permute(0, 3, 1, 2).float().to(self._device)

        num_threads = max(1, self._num_workers)
        starts = deque(range(0, len(self._rows), BATCH_SIZE))
        with ThreadPoolExecutor(num_threads, "corrupt") as pool:
            waiting: deque[Future[Tensor]] = deque()
            while starts or waiting:
                if self._hooks.stop_requested():
                    raise Stopped(f"{counted(len(self._rows), 'image')} corrupted, up to {kind} at strength {strength}")
                while starts and len(waiting) <= num_threads:  # a bounded number of batches ahead
                    start = starts.popleft()
                    waiting.append(pool.submit(batch, self._rows[start : start + BATCH_SIZE].tolist()))
                yield waiting.popleft().result()


class _PartErrors:
    """The errors of each model on the images of a part."""

    def __init__(
        self, models: Mapping[str, Classifier], part: Sequence[int], labels: Ints, numbers: Ints, rows: Ints
    ) -> None:
        self._models, self._part = models, part
        self._labels, self._numbers, self._rows = labels, numbers, torch.from_numpy(rows)
        self._clean: dict[str, float] = {}
        self._errors: dict[str, dict[CorruptionKind, list[float]]] = {name: {} for name in self._models}

    def add(self, kind: CorruptionKind | None, features: Mapping[str, Tensor]) -> None:
        """Add the errors at the next strength of a kind; without a kind, of clean images."""
        for name, model in self._models.items():
            error = 1 - mean_per_class_accuracy(
                features[name][self._rows],
                self._labels,
                model.targets,
                self._part,
                image_numbers=self._numbers,
            )
            if kind is None:
                self._clean[name] = error
            else:
                self._errors[name].setdefault(kind, []).append(error)

    def result(self, name: str) -> CorruptionErrors:
        """The errors of a model."""
        baseline: tuple[Errors, float] | None = None
        if name == "student" and "baseline" in self._models:
            baseline = self._errors["baseline"], self._clean["baseline"]
        return corruption_errors(
            self._errors[name],
            self._clean[name],
            num_images=len(np.unique(self._numbers)),
            num_labels=len(set(self._part)),
            baseline=baseline,
        )
