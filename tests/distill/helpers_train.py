"""Something small to train on: coloured noise whose colour is its label, and a teacher that sees colours."""

from typing import Any

import numpy as np
import torch

from distill.config.recipes import resolve_train_config
from distill.config.train_config import TrainConfig
from distill.training.loader import TrainData

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
    random = np.random.default_rng(seed)
    labels = np.arange(num_images, dtype=np.int64) % num_labels
    colours = random.integers(40, 216, (num_labels, 3))
    noise = random.normal(0, 20, (num_images, side_px, side_px, 3))
    pixels = np.clip(colours[labels][:, None, None, :] + noise, 0, 255).astype(np.uint8)
    texts = torch.nn.functional.normalize(torch.tensor(random.normal(size=(num_labels, width)), dtype=torch.float32))
    apart = torch.tensor(random.normal(0, 0.1, (num_images, width)), dtype=torch.float32)
    return TrainData(
        pixels=pixels,
        labels=labels,
        teacher=(3 * texts[labels] + apart)[:, None],
        texts=texts,
        usable=np.arange(num_images, dtype=np.int64),
        few=np.arange(num_images - few, num_images, dtype=np.int64),
        digests={"dataset": "d0", "texts": "t0"},
    )


def small_config(**overrides: Any) -> TrainConfig:
    """Six steps of `test_resnet`, in two epochs."""
    given = {"student": "test_resnet", "image_px": IMAGE_PX, "epochs": 2, "batch_size": 8, "lr": 1e-3, "threads": 1}
    return resolve_train_config("limbeck", given | {"device": "cpu", "view": "center"} | overrides)


def sgd_config(**losses: float) -> TrainConfig:
    """Two steps of plain SGD at rate 1, whose weights show the gradients, of a student without batch norm."""
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
