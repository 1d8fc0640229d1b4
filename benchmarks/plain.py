"""The baseline of the loop benchmark: the same training, written in the plain way of the code of arXiv:2307.03135.

In each epoch a loader with one worker per core reads every image, decodes it with Pillow and resizes it to 256 x 256.
The tensors are stacked, and the whole batch gets the same random crop and flip. Everything is float32 and contiguous,
in pinned memory with a GPU. Written for this benchmark from the description, not copied.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from distill.config.train_config import TrainConfig
from distill.losses.feature_mse import feature_mse
from distill.losses.image_contrastive import image_contrastive
from distill.losses.text_classification import text_classification
from distill.training.schedules import build_optimizer

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class JpegDataset(Dataset[tuple[Tensor, int]]):
    """Image files that are decoded at every access; items are the pixels (3, 256, 256) in 0..1 and the index."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._prepare = transforms.Compose([transforms.Resize((256, 256)), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self._paths[index]) as image:
            return self._prepare(image.convert("RGB")), index


def train_steps(
    config: TrainConfig,
    paths: Sequence[Path],
    labels: np.ndarray,
    teacher: Tensor,
    texts: Tensor,
    *,
    steps: int,
    device: torch.device,
) -> Iterator[float]:
    """Train for `steps` steps; yields the time at the end of each step."""
    model: nn.Module = timm.create_model(config.student.architecture, num_classes=texts.shape[1]).to(device).train()
    optimizer = build_optimizer(model, config.optimizer)
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(config.student.image_px),
            transforms.RandomHorizontalFlip(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(
        JpegDataset(paths),
        config.schedule.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=len(os.sched_getaffinity(0)),
        pin_memory=device.type == "cuda",
    )
    all_labels, all_features = torch.from_numpy(labels).to(device), teacher.to(device)
    label_texts, done = texts.to(device), 0
    while True:
        for stacked, indices in loader:
            images, rows = stacked.to(device), indices.to(device)
            student_features = model(augment(images))
            teacher_features = all_features[rows]
            temperature = config.objective.temperature
            loss = (
                text_classification(student_features, label_texts, all_labels[rows], temperature=temperature)
                + feature_mse(student_features, teacher_features)
                + image_contrastive(student_features, teacher_features, temperature=temperature)
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            loss.item()
            yield time.perf_counter()
            done += 1
            if done == steps:
                return


@torch.no_grad()
def text_features(model: nn.Module, tokenize: "object", prompts: Sequence[str], *, batch_size: int = 256) -> Tensor:
    """Normalised features (N, D) of prompts in their given order, batch by batch at the full context length."""
    batches = []
    for start in range(0, len(prompts), batch_size):
        tokens = tokenize(list(prompts[start : start + batch_size]))  # type: ignore[operator]
        batches.append(F.normalize(model.encode_text(tokens), dim=-1))  # type: ignore[operator]
    return torch.cat(batches)
