"""A small training: images of coloured noise, one colour per label, and teacher features close to the label's text."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill import Stopped
from distill.config.recipes import resolve_train_config
from distill.config.train_config import TrainConfig
from distill.training.hooks import OnEpoch, SaveState, TrainHooks, WriteState
from distill.training.loader import TrainData
from distill.training.loop import TrainResult, train
from distill.training.metrics import StepMetrics

IMAGE_PX, WIDTH = 32, 12


def small_data(
    num_images: int = 24,
    num_labels: int = 3,
    *,
    side_px: int = IMAGE_PX,
    seed: int = 0,
    few: int = 0,
    width: int = WIDTH,
) -> TrainData:
    """Images of `side_px` with teacher features and texts of `width`; the last `few` images are few-shot images."""
    random = np.random.default_rng(seed)
    labels = np.arange(num_images, dtype=np.int64) % num_labels
    colours = random.integers(40, 216, (num_labels, 3))
    noise = random.normal(0, 20, (num_images, side_px, side_px, 3))
    pixels = np.clip(colours[labels][:, None, None, :] + noise, 0, 255).astype(np.uint8)
    texts = torch.nn.functional.normalize(torch.tensor(random.normal(size=(num_labels, width)), dtype=torch.float32))
    offsets = torch.tensor(random.normal(0, 0.1, (num_images, width)), dtype=torch.float32)
    return TrainData(
        pixels=pixels,
        labels=labels,
        teacher=(3 * texts[labels] + offsets)[:, None],
        texts=texts,
        usable=np.arange(num_images, dtype=np.int64),
        few=np.arange(num_images - few, num_images, dtype=np.int64),
        digests={"dataset": "d0", "texts": "t0"},
        teacher_scale=1 / 0.07,
        label_offset=0.1,
    )


def small_config(**overrides: Any) -> TrainConfig:
    """Six steps of `test_resnet` in two epochs."""
    defaults = {"student": "test_resnet", "image_px": IMAGE_PX, "epochs": 2, "batch_size": 8, "lr": 1e-3, "threads": 1}
    return resolve_train_config("limbeck-small", defaults | {"device": "cpu", "view": "center"} | overrides)


def hooks_stopping_after(num_steps: int, state: Path) -> TrainHooks:
    """Hooks that stop a training after `num_steps` steps, with its state in the file `state`."""
    steps: list[int] = []
    return TrainHooks(
        on_step=lambda metrics: steps.append(metrics.step),
        should_stop=lambda: len(steps) >= num_steps,
        save=lambda write: write(state),
    )


def sgd_config(**losses: float) -> TrainConfig:
    """Two steps of plain SGD, whose weights show the gradients, with a student that has no batch norm."""
    return small_config(
        student="test_vit",
        optimizer="sgd",
        lr=0.1,
        momentum=0,
        weight_decay=0,
        schedule="step",
        warmup=0,
        epochs=2,
        batch_size=24,
        losses={"cls": 1, "mse": 1, "im_cst": 1, "vlalign": 1, "affinity": 1} | losses,
    )


class SavedStates:
    """A `save` hook that writes every state into a numbered file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.paths = folder, list[Path]()

    def __call__(self, write: WriteState) -> None:
        self.paths.append(self.folder / f"{len(self.paths)}.safetensors")
        write(self.paths[-1])


def run(
    config: TrainConfig,
    stop_at: int | None = None,
    *,
    data: TrainData | None = None,
    resume: Path | None = None,
    save: SaveState | None = None,
    on_epoch: OnEpoch | None = None,
) -> tuple[TrainResult | None, list[StepMetrics]]:
    """Train and collect the metrics of all steps; stop after `stop_at` steps, with None as the result."""
    steps: list[StepMetrics] = []
    hooks = TrainHooks(
        on_step=steps.append,
        on_epoch=on_epoch or (lambda _epoch, _student, _context: None),
        should_stop=lambda: stop_at is not None and len(steps) >= stop_at,
        save=save or (lambda _write: None),
    )
    try:
        return train(config, data or small_data(), resume=resume, hooks=hooks), steps
    except Stopped:
        return None, steps


def weights(result: TrainResult | None) -> dict[str, torch.Tensor]:
    """The state dict of a trained student."""
    assert result is not None
    return result.student.model.state_dict()
