"""The map of a tuned teacher: near the identity under a strong pull, a fit under a weak one, used for every view."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.data.image_index import ImageIndex
from distill.losses.teacher_map import fitted_map
from distill.pipeline import measure_teacher, training_data, tuned_teacher_cost
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets
from distill.training.loader import batches
from tests.distill.helpers_train import small_config

N, K, D, SCALE = 60, 6, 12, 20.0


def examples() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    texts, labels = torch.randn(K, D, generator=random), torch.arange(N) % K
    turned = torch.linalg.qr(torch.eye(D) + 0.7 * torch.randn(D, D, generator=random))[0]
    return (texts[labels] + 0.3 * torch.randn(N, D, generator=random)) @ turned, labels, texts


def loss(change: Tensor, pull: float) -> float:
    v, labels, texts = examples()
    unit, t = (torch.nn.functional.normalize(given.double(), dim=1) for given in (v, texts))
    logits = SCALE * torch.nn.functional.normalize(unit @ (torch.eye(D) + change.double()), dim=1) @ t.T
    return float(torch.nn.functional.cross_entropy(logits, labels) + pull / D * change.double().square().sum())


def test_the_map_is_a_minimum_and_the_pull_keeps_it_near_the_identity() -> None:
    v, labels, texts = examples()
    distances = []
    for pull in (0.1, 1.0, 10.0, 1e6):
        change = fitted_map(v, labels, texts, scale=SCALE, pull=pull) - torch.eye(D)
        distances.append(float(change.norm()))
        best = loss(change, pull)
        assert best <= loss(torch.zeros(D, D), pull)
        random = torch.Generator().manual_seed(1)
        for _ in range(10):
            assert loss(change + 0.01 * torch.randn(D, D, generator=random), pull) > best - 1e-9
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-3
    assert loss(fitted_map(v, labels, texts, scale=SCALE, pull=0.1) - torch.eye(D), 0) < 0.5 * loss(
        torch.zeros(D, D), 0
    )


@pytest.mark.parametrize("view", ["center", "same", "live"])
def test_the_student_gets_the_features_of_the_tuned_teacher(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path, view: str
) -> None:
    config, cache = small_config(view=view, tuned_teacher=0.5, num_workers=2), tmp_path / "cache"
    data = training_data(config, image_index, tiny_teacher, targets, cache=cache)
    plain = training_data(small_config(view=view, num_workers=2), image_index, tiny_teacher, targets, cache=cache)
    assert plain.teacher_map is None
    assert data.teacher_map is not None
    cpu = torch.device("cpu")
    pairs = zip(batches(data, config, 0, cpu), batches(plain, config, 0, cpu), strict=True)
    for tuned, untuned in pairs:
        torch.testing.assert_close(tuned.teacher, untuned.teacher @ data.teacher_map, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(tuned.teacher, untuned.teacher, atol=1e-3)


def test_its_cost_on_unseen_labels_is_stated(
    image_index: ImageIndex, targets: TextTargets, tiny_teacher: Teacher, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    before = measure_teacher(tiny_teacher, image_index, targets, "names", cache=cache)
    away = -torch.eye(tiny_teacher.width)  # the nearest text becomes the farthest one
    after = measure_teacher(tiny_teacher, image_index, targets, "names", cache=cache, teacher_map=away)
    same = measure_teacher(
        tiny_teacher, image_index, targets, "names", cache=cache, teacher_map=torch.eye(tiny_teacher.width)
    )
    assert before.ood is not None
    assert after.ood is not None
    assert same.ood is not None
    assert same.ood.accuracy == before.ood.accuracy == pytest.approx(1 - after.ood.accuracy)  # of two labels
    stated = f"unseen labels {100 * before.ood.accuracy:.1f}% -> {100 * after.ood.accuracy:.1f}%"
    assert stated in tuned_teacher_cost(before, after)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"protocol": "closed_set"}, "has none"),
        ({"protocol": "retrieval", "shots": 2}, "compares with its own features"),
    ],
)
def test_a_protocol_without_a_teacher_to_tune_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"tuned_teacher changes the teacher, and protocol .* {reason}"):
        small_config(tuned_teacher=1, **settings)
