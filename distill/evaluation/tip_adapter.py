"""Few-shot retrieval (Tip-Adapter, arXiv:2111.03930, as arXiv:2307.03135 uses it): no training, a memory of few images.

logits = s t^T + alpha sum_m exp(-beta (1 - s f_km)), s, t and f normalised: an image is as near to a label as to its
text and to what the teacher made of the label's few images, each of them as itself and under RandAugment. The
supports leave the test set. B images, K labels, M supports of a label, D embedding width.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import RandAugment

from distill.data.counter_rng import random_words
from distill.data.image_files import open_rgb
from distill.data.shards import read_image
from distill.teacher.teacher import Teacher

ALPHA, BETA = 1.0, 5.5
VIEWS = 10
_RETRIEVAL = 0x71


def retrieval_scores(student: Tensor, supports: Tensor, *, alpha: float = ALPHA, beta: float = BETA) -> Tensor:
    """What the memory adds to the cosines of `student` (B, D) with the labels' texts: (B, K), 0 to alpha M.

    `supports` (K, M, D), a label's unused places zeros.
    """
    s, f = F.normalize(student.float(), dim=-1), F.normalize(supports.float(), dim=-1)
    used = supports.any(dim=-1)  # (K, M)
    # Label by label, because B x K x M need not fit in memory.
    near = [torch.exp(-beta * (1 - s @ own[mask].T)).sum(dim=-1) for own, mask in zip(f, used, strict=True)]
    return alpha * torch.stack(near, dim=1)


def support_features(
    teacher: Teacher,
    paths: Sequence[Path],
    *,
    seed: int,
    on_bad_image: Callable[[Path, str], None] | None = None,
) -> Tensor:
    """The teacher's features (N, 10, D) on the CPU of image files, each as it is and in 9 RandAugment(2, 9) views.

    The views of a file are a function of `seed` and its place. One that cannot be read is told and has zeros.
    """
    augment = RandAugment(2, 9)
    features = torch.zeros(len(paths), VIEWS, teacher.width)
    for at, path in enumerate(paths):
        try:
            image = open_rgb(read_image(path))
        except Exception as error:  # decoders raise whatever they like; none of it may end the run
            if on_bad_image is not None:
                on_bad_image(path, f"{type(error).__name__}: {error}"[:300])
            continue
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(random_words(seed, at, _RETRIEVAL) >> 1))
            views: list[Image.Image] = [image, *(augment(image) for _ in range(VIEWS - 1))]
        features[at] = teacher.encode_images(torch.stack([teacher.prepare(view) for view in views])).cpu()
    return features


def memory(features: Tensor, labels: Sequence[int], label_subset: Sequence[int]) -> Tensor:
    """Supports (K, M, D) of the labels of a subset, ascending, from features (N, V, D) of images of `labels` (N)."""
    rows = {label: [at for at, its in enumerate(labels) if its == label] for label in sorted(set(label_subset))}
    most = max(map(len, rows.values()))
    kept = torch.zeros(len(rows), most * features.shape[1], features.shape[2])
    for place, own in enumerate(rows.values()):
        kept[place, : len(own) * features.shape[1]] = features[own].flatten(0, 1)
    return kept
