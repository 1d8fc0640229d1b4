"""Few-shot retrieval: formula, views of the support images, and use in an evaluation."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.evaluation.accuracy import evaluate_features
from distill.evaluation.tip_adapter import ALPHA, BETA, VIEWS, retrieval_scores, support_features, support_memory
from distill.hooks import PipelineHooks
from distill.teacher.teacher import Teacher


def test_published_hyperparameters() -> None:
    assert (ALPHA, BETA, VIEWS) == (1.0, 5.5, 10)


def test_scores_equal_the_formula() -> None:
    random = np.random.default_rng(0)
    student, supports = random.normal(size=(5, 6)), random.normal(size=(3, 4, 6))
    supports[1, 2:] = 0  # a label with fewer images

    def cos(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / math.sqrt((a @ a) * (b @ b)))

    expected = [
        [2 * sum(math.exp(-5.5 * (1 - cos(s, f))) for f in own if f.any()) for own in supports] for s in student
    ]
    got = retrieval_scores(torch.tensor(student), torch.tensor(supports), alpha=2)
    torch.testing.assert_close(got.double(), torch.tensor(expected, dtype=torch.float64), atol=1e-5, rtol=1e-5)
    # An image equal to the support has the maximal score.
    same = torch.tensor(supports[0, :1])
    assert retrieval_scores(same, same[None]).item() == pytest.approx(1)


def test_memory_has_the_views_of_each_label_in_label_order() -> None:
    features = torch.arange(1, 25, dtype=torch.float32).view(4, 3, 2)
    kept = support_memory(features, [7, 2, 7, 2], [7, 2])
    assert torch.equal(kept[0], torch.cat([features[1], features[3]]))
    assert torch.equal(kept[1], torch.cat([features[0], features[2]]))
    assert torch.equal(support_memory(features[:3], [7, 2, 7], [2, 7])[0, 3:], torch.zeros(3, 2))


def test_views_depend_on_the_seed_and_the_first_is_the_image(
    tiny_teacher: Teacher, tmp_path: Path, make_images: Callable[..., list[Path]]
) -> None:
    paths = make_images(tmp_path, 2)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    reported: list[Path] = []
    given = [*paths, broken]
    before = torch.get_rng_state()
    features = support_features(
        tiny_teacher, given, seed=1, hooks=PipelineHooks(on_bad_image=lambda path, _: reported.append(path))
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert features.shape == (3, VIEWS, 32)
    assert reported == [broken]
    assert not features[2].any()
    again, other = (support_features(tiny_teacher, given, seed=seed) for seed in (1, 2))
    assert torch.equal(again, features)
    torch.testing.assert_close(other[:2, 0], features[:2, 0])
    assert not torch.allclose(other[:2, 1:], features[:2, 1:])


def test_evaluation_adds_the_scores_to_the_cosines() -> None:
    features, targets = torch.eye(2, 4), torch.eye(2, 4).flip(0)
    labels, names = np.array([0, 1]), ["crane", "heron"]
    plain = evaluate_features(features, labels, targets, [0, 1], names=names)
    assert plain.accuracy == 0
    kept = support_memory(features[:, None], [0, 1], [0, 1])
    helped = evaluate_features(
        features, labels, targets, [0, 1], names=names, extra=lambda unit: retrieval_scores(unit, kept, alpha=2)
    )
    assert helped.accuracy == 1
