"""Open-set results of images: thresholds come from known images only, and each half is judged by the other."""

import numpy as np
import pytest
import torch

from distill.evaluation.none_of_these import MIN_IMAGES, threshold_of
from distill.evaluation.open_set.measure import Unknown, open_set

TEXTS = torch.eye(6)
KNOWN_LABELS = (0, 2)


def images(label: int, num: int, noise: float, seed: int) -> torch.Tensor:
    return TEXTS[label] + noise * torch.randn(num, 6, generator=torch.Generator().manual_seed(seed))


def measured(noise: float = 0.2, near: torch.Tensor | None = None):  # type: ignore[no-untyped-def]
    known = torch.cat([images(0, 40, noise, 0), images(2, 40, noise, 1)])
    labels = np.repeat([0, 2], 40)
    unknown = [
        Unknown(kind="near", source="here", features=images(1, 30, noise, 2) if near is None else near),
        Unknown(kind="far", source="there", features=images(5, 20, noise, 3)),
    ]
    return open_set(known, labels, TEXTS, KNOWN_LABELS, unknown, temperature=0.07)


def test_unknown_images_are_scored_by_the_known_labels_alone() -> None:
    """An image of label 1 is at the text of label 1, which is not known: it is far from the known ones."""
    found = measured()
    assert (found.num_labels, found.num_images, found.num_outliers) == (2, 80, 0)
    near, far = found.unknown
    assert (near.kind, near.num_images, far.kind, far.source, far.num_images) == ("near", 30, "far", "there", 20)
    for one in (*near.scores, *far.scores):
        assert one.auroc > 0.95
        assert one.rejected > 0.8
        assert one.known_accuracy == pytest.approx(0.95, abs=0.06)
        assert one.h_score == pytest.approx(2 * one.known_accuracy * one.rejected / (one.known_accuracy + one.rejected))


def test_the_threshold_does_not_depend_on_the_unknown_images() -> None:
    thresholds = [
        [one.threshold for one in measured(near=images(1, 30, noise, 9)).unknown[0].scores] for noise in (0.1, 2)
    ]
    assert thresholds[0] == thresholds[1]


def test_each_half_is_judged_by_the_threshold_of_the_other() -> None:
    """Every second image is far from its text: the threshold of the near half rejects all of them."""
    cosines = np.tile([0.95, 0.3], 20)
    sine = np.sqrt(1 - cosines**2)
    known = torch.from_numpy(np.stack([cosines, 0 * cosines, 0 * cosines, sine, 0 * cosines, 0 * cosines], 1))
    far = Unknown(kind="far", source="there", features=TEXTS[5:])
    found = open_set(known, np.zeros(40, np.int64), TEXTS, (0, 1), [far], temperature=0.07)
    assert found is not None
    score = found.unknown[0].scores[0]
    assert score.threshold == pytest.approx(threshold_of(cosines))
    assert score.known_accuracy == pytest.approx(0.5)
    assert score.rejected == 1.0


def test_the_curve_rises_from_the_known_images_above_all_unknown_ones() -> None:
    known = torch.tensor([[1.0, 0.0], [0.9, 0.5], [0.5, 0.9], [0.0, 1.0]]).repeat(5, 1)
    texts = torch.tensor([[1.0, 0.0]])
    far = Unknown(kind="far", source="there", features=torch.tensor([[0.7, 0.7], [0.2, 0.9]]))
    found = open_set(known, np.zeros(20, np.int64), texts, (0,), [far], temperature=0.07)
    assert found is not None
    roc = found.unknown[0].scores[0].roc
    assert len(roc) == 51
    assert (roc[0], roc[25], roc[50]) == (0.5, 0.75, 1.0)
    assert sorted(roc) == list(roc)


def test_few_images_give_no_result() -> None:
    far = Unknown(kind="far", source="there", features=TEXTS[5:])
    few = images(0, MIN_IMAGES - 1, 0.1, 0)
    assert open_set(few, np.zeros(len(few), np.int64), TEXTS, (0,), [far], temperature=0.07) is None
    enough = images(0, MIN_IMAGES, 0.1, 0)
    nothing = Unknown(kind="far", source="there", features=TEXTS[:0])
    assert open_set(enough, np.zeros(len(enough), np.int64), TEXTS, (0,), [nothing], temperature=0.07) is None


def test_an_image_with_several_labels_is_one_image_and_right_by_any_of_them() -> None:
    """Ten images show labels 0 and 2 and are closest to the text of 2; their first row is that of label 0."""
    both, plain = images(2, 10, 0.1, 0), images(0, 30, 0.1, 1)
    far = Unknown(kind="far", source="there", features=images(5, 20, 0.1, 3))
    found = open_set(
        torch.cat([both, plain, both]),
        np.repeat([0, 2], [40, 10]),
        TEXTS,
        KNOWN_LABELS,
        [far],
        temperature=0.07,
        image_numbers=np.concatenate([np.arange(40), np.arange(10)]),
    )
    as_one_label = open_set(
        torch.cat([both, plain]), np.repeat([2, 0], [10, 30]), TEXTS, KNOWN_LABELS, [far], temperature=0.07
    )
    assert found is not None
    assert as_one_label is not None
    assert found.num_images == 40
    for one, other in zip(found.unknown[0].scores, as_one_label.unknown[0].scores, strict=True):
        assert (one.oscr, one.auroc, one.threshold, one.roc) == (other.oscr, other.auroc, other.threshold, other.roc)
        assert one.oscr == pytest.approx(1.0)
        assert one.known_accuracy > 0.9
