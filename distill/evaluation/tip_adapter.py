"""Few-shot retrieval without training (Tip-Adapter, arXiv:2111.03930, as used in arXiv:2307.03135).

logits = s t^T + alpha sum_m exp(-beta (1 - s f_km)), with s, t and f normalised: the score of a label is the similarity
to its text plus the similarities to the teacher's features of its support images, unchanged and under RandAugment. The
support images are excluded from the test set. B images, K labels, M supports of a label, V views, D embedding width.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import RandAugment

from distill.data.counter_rng import random_words
from distill.data.image_files.location import read_image
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher
from limbeck.shared.images.decode import open_rgb

ALPHA, BETA = 1.0, 5.5
VIEWS = 10
_STREAM = 0x71  # key of these random numbers, different from those of the training


def retrieval_scores(student: Tensor, supports: Tensor, *, alpha: float = ALPHA, beta: float = BETA) -> Tensor:
    """Scores (B, K), 0 to alpha M, to add to the cosines of `student` (B, D) with the texts of the labels.

    `supports` (K, M, D); rows of zeros are unused.
    """
    s, f = F.normalize(student.float(), dim=-1), F.normalize(supports.float(), dim=-1)
    used = supports.any(dim=-1)  # (K, M)
    # Label by label, because B x K x M numbers may not fit in memory.
    scores = [torch.exp(-beta * (1 - s @ label[mask].T)).sum(dim=-1) for label, mask in zip(f, used, strict=True)]
    return alpha * torch.stack(scores, dim=1)


def support_features(
    teacher: Teacher, paths: Sequence[Path], *, seed: int, hooks: PipelineHooks | None = None
) -> Tensor:
    """The teacher's features (N, 10, D) on the CPU of N image files: unchanged, and in 9 RandAugment(2, 9) views.

    The views of a file are a function of `seed` and its position. An unreadable file is reported and has zeros.
    """
    hooks = hooks or PipelineHooks()
    augment = RandAugment(2, 9)
    features = torch.zeros(len(paths), VIEWS, teacher.width)
    for position, path in enumerate(paths):
        try:
            image = open_rgb(read_image(path))
        except Exception as error:  # decoders raise errors of any type
            hooks.bad_image(path, f"{type(error).__name__}: {error}"[:300])
            continue
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(random_words(seed, position, _STREAM) >> 1))
            views: list[Image.Image] = [image, *(augment(image) for _ in range(VIEWS - 1))]
        features[position] = teacher.encode_images(torch.stack([teacher.prepare(view) for view in views])).cpu()
    return features


def support_memory(features: Tensor, labels: Sequence[int], label_subset: Sequence[int]) -> Tensor:
    """Supports (K, M, D) of the labels of a subset, ascending, from features (N, V, D) of images of `labels` (N)."""
    subset = sorted(set(label_subset))
    rows = [[row for row, label in enumerate(labels) if label == wanted] for wanted in subset]
    num_views = features.shape[1]
    supports = torch.zeros(len(rows), max(map(len, rows)) * num_views, features.shape[2])
    for index, label_rows in enumerate(rows):
        supports[index, : len(label_rows) * num_views] = features[label_rows].flatten(0, 1)
    return supports
