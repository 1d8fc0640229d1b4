"""What is compared with: the same work written plainly, as the published code of arXiv:2307.03135 goes about it.

Each epoch every picture is read, decoded by Pillow and resized to 256 x 256 by a loader with as many workers as cores;
the tensors are stacked, and one random crop and flip is made of the whole stack; everything is float32 and contiguous,
in pinned memory where there is a GPU. Written anew for this benchmark, from its description.
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
    """Decoded anew whenever they are asked for."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._prepare = transforms.Compose([transforms.Resize((256, 256)), transforms.ToTensor()])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: int) -> tuple[Tensor, int]:
        with Image.open(self._paths[at]) as image:
            return self._prepare(image.convert("RGB")), at


def epochs(
    config: TrainConfig,
    paths: Sequence[Path],
    labels: np.ndarray,
    teacher: Tensor,
    texts: Tensor,
    *,
    steps: int,
    device: torch.device,
) -> Iterator[float]:
    """Train for `steps`, and give the time at which each was done."""
    model: nn.Module = timm.create_model(config.student.architecture, num_classes=texts.shape[1]).to(device).train()
    optimizer = build_optimizer(model, config.optimizer)
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(config.student.image_px),
            transforms.RandomHorizontalFlip(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    cuda = device.type == "cuda"
    loader = DataLoader(
        JpegDataset(paths),
        config.schedule.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=len(os.sched_getaffinity(0)),
        pin_memory=cuda,
    )
    truth, features, words = torch.from_numpy(labels).to(device), teacher.to(device), texts.to(device)
    done = 0
    while True:
        for stacked, at in loader:
            pictures, rows = stacked.to(device), at.to(device)
            seen = model(augment(pictures))
            taught = features[rows]
            loss = (
                text_classification(seen, words, truth[rows], temperature=config.objective.temperature)
                + feature_mse(seen, taught)
                + image_contrastive(seen, taught, temperature=config.objective.temperature)
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
    """Normalised features (N, D) of prompts, batch by batch at the full context length, as they come."""
    pieces = []
    for start in range(0, len(prompts), batch_size):
        tokens = tokenize(list(prompts[start : start + batch_size]))  # type: ignore[operator]
        pieces.append(F.normalize(model.encode_text(tokens), dim=-1))  # type: ignore[operator]
    return torch.cat(pieces)
