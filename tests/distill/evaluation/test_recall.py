"""Recall against a naive loop that sorts the gallery of each query; ties go to the first image."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill.evaluation import recall
from distill.evaluation.recall import RANKS, retrieval


def naive(
    queries: torch.Tensor, query_labels: np.ndarray, gallery: torch.Tensor, labels: np.ndarray, own: list[set[int]]
) -> list[float]:
    found = []
    similarity = F.normalize(queries, dim=-1) @ F.normalize(gallery, dim=-1).T
    for row, label in enumerate(query_labels):
        others = [at for at in range(len(labels)) if at not in own[row]]
        if not any(labels[at] == label for at in others):
            continue
        order = sorted(others, key=lambda at: (-float(similarity[row, at]), at))
        found.append([any(labels[at] == label for at in order[:rank]) for rank in RANKS])
    return np.mean(found, axis=0).tolist()


@pytest.mark.parametrize("elements", [150, 32_000_000])
def test_recall_is_that_of_sorted_galleries(elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "ELEMENTS_AT_ONCE", elements)
    random = torch.Generator().manual_seed(0)
    # Integers in few dimensions: many images have equal cosines.
    features = torch.randint(-2, 3, (70, 3), generator=random).float() + 0.01
    labels = np.random.default_rng(0).integers(0, 25, 70)
    targets = torch.randint(-2, 3, (30, 3), generator=random).float() + 0.01
    found = retrieval(features, labels, targets, range(30))
    assert found.image_to_image is not None
    assert found.text_to_image is not None
    expected = naive(features, labels, features, labels, [{at} for at in range(70)])
    assert found.image_to_image.recall == pytest.approx(expected)
    with_images = np.unique(labels)
    by_text = naive(targets[with_images], with_images, features, labels, [set()] * len(with_images))
    assert found.text_to_image.recall == pytest.approx(by_text)
    assert (found.text_to_image.num_queries, found.text_to_image.num_images) == (len(with_images), 70)


def test_equal_cosines_are_ordered_by_place() -> None:
    """Four equal images: the query's own is left out, and the first of the others counts."""
    found = retrieval(torch.ones(4, 2), np.array([0, 1, 1, 0]), torch.ones(2, 2), (0, 1))
    assert found.image_to_image is not None
    # Galleries 1 1 0, 0 1 0, 0 1 0 and 0 1 1 for the queries 0, 1, 1, 0.
    assert found.image_to_image.recall == (0.25, 1.0, 1.0)
    assert found.text_to_image is not None
    assert found.text_to_image.recall == (0.5, 1.0, 1.0)


def test_the_rows_of_one_image_do_not_find_each_other() -> None:
    """An image with two labels has two equal rows; the second is not a neighbour of the first."""
    features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    found = retrieval(features, np.array([0, 0, 0, 1]), features[:2], (0, 1), np.array([0, 0, 1, 2]))
    assert found.image_to_image is not None
    assert found.image_to_image.recall[0] == 0.0
    assert found.image_to_image.num_images == 3


def test_chance_is_that_of_a_random_order() -> None:
    rng = np.random.default_rng(1)
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    found = retrieval(torch.ones(14, 2), labels, torch.ones(3, 2), (0, 1, 2)).text_to_image
    assert found is not None
    shuffles = [rng.permutation(labels) for _ in range(4000)]
    for rank, chance in zip(found.ranks, found.chance, strict=True):
        simulated = np.mean([[label in order[:rank] for label in (0, 1, 2)] for order in shuffles])
        assert chance == pytest.approx(simulated, abs=0.02)


def test_labels_of_one_image_have_no_neighbours() -> None:
    found = retrieval(torch.eye(3), np.arange(3), torch.eye(3), (0, 1, 2))
    assert found.image_to_image is None
    assert found.text_to_image is not None
    assert found.text_to_image.recall[0] == 1.0


def test_an_image_with_several_labels_is_one_neighbour() -> None:
    """Five images of label 1 are nearer than the right one, and each has a second row: its rank is 5, not 10."""
    nearer = torch.tensor([[1.0, 0.1]]).repeat(5, 1)
    features = torch.cat([torch.tensor([[1.0, 0.0]]), nearer, torch.tensor([[0.0, 1.0]]), nearer])
    labels = np.array([0, 1, 1, 1, 1, 1, 0, 2, 2, 2, 2, 2])
    numbers = np.array([0, 1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5])
    found = retrieval(features, labels, torch.eye(2)[[0, 1, 0]], (0,), numbers)
    assert found.image_to_image is not None
    assert found.text_to_image is not None
    assert found.text_to_image.num_images == 7
    own = retrieval(features[:7], labels[:7], torch.eye(2), (0,))
    assert own.image_to_image is not None
    assert own.text_to_image is not None
    assert found.text_to_image.recall == own.text_to_image.recall
    assert found.text_to_image.chance == own.text_to_image.chance
    # Of 12 queries, the two of label 0 find each other at rank 5; all others have a neighbour of their label at rank 0.
    assert found.image_to_image.recall == (10 / 12, 10 / 12, 1.0)


def test_a_neighbour_is_right_by_any_of_its_labels() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.1], [0.0, 1.0]])
    found = retrieval(features, np.array([1, 0, 1, 0]), torch.eye(2), (0, 1), np.array([0, 1, 1, 2]))
    assert found.image_to_image is not None
    assert (found.image_to_image.recall[0], found.image_to_image.num_images) == (0.75, 3)
