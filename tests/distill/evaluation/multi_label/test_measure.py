"""mAP of seen and unseen labels, each over the images of its part, and all at once."""

import json

import numpy as np
import pytest
import torch

from distill.data.image_index import ImageIndex, Item
from distill.data.splits import LABEL_SET, Part
from distill.evaluation.multi_label.average_precision import average_precision
from distill.evaluation.multi_label.measure import mean_precisions, measure_sets

LABELS = ("cat", "dog", "car", "bus", "without images")
SEEN, UNSEEN = (0, 1), (2, 3)


def index_of(num_images: int = 120) -> ImageIndex:
    """Labels 0 and 1 are seen; every third image is OOD and shows 2 or 3, often beside a seen label."""
    random = np.random.default_rng(0)

    def item(at: int) -> Item:
        part: Part = "ood" if at % 3 == 0 else "held_out" if at % 3 == 1 else "train"
        labels = {int(random.integers(2))} | ({int(random.integers(2))} if at % 2 else set())
        if part == "ood":
            labels = {2 + int(random.integers(2))} | (labels if at % 2 else set())
        return Item(f"{at}.jpg", LABEL_SET, part, None, tuple(sorted(labels)))

    return ImageIndex.of("/", LABELS, map(item, range(num_images)))


def features_of(index: ImageIndex, rows: list[int], noise: float = 0.4) -> torch.Tensor:
    random = torch.Generator().manual_seed(0)
    texts = torch.eye(len(LABELS))
    sums = torch.stack([texts[list(index.labels_at(row))].sum(dim=0) for row in rows])
    return sums + noise * torch.randn(sums.shape, generator=random)


def measured_rows(index: ImageIndex) -> list[int]:
    return sorted([*index.part("held_out"), *index.part("ood")])


def test_each_part_is_ranked_among_its_own_images() -> None:
    index = index_of()
    rows = measured_rows(index)
    features = features_of(index, rows)
    found = measure_sets(features, rows, index, torch.eye(len(LABELS)))
    cosines = torch.nn.functional.normalize(features, dim=1).numpy()
    truth = np.array([[label in index.labels_at(row) for label in range(5)] for row in rows])
    parts = np.array([index.items[row].part for row in rows])
    for result, part, labels in ((found.id, "held_out", SEEN), (found.ood, "ood", UNSEEN)):
        assert result is not None
        chosen = parts == part
        expected = {LABELS[at]: average_precision(cosines[chosen, at], truth[chosen, at]) for at in labels}
        assert result.per_label == expected
        assert result.mean_ap == pytest.approx(np.mean(list(expected.values())))
        assert result.chance == pytest.approx(truth[np.ix_(chosen, labels)].mean())
        assert result.images_per_label == {LABELS[at]: int(truth[chosen, at].sum()) for at in labels}
        assert result.num_images == chosen.sum()
    assert found.joint is not None
    joint = [np.mean([average_precision(cosines[:, at], truth[:, at]) for at in labels]) for labels in (SEEN, UNSEEN)]
    assert (found.joint.id_mean_ap, found.joint.ood_mean_ap) == (pytest.approx(joint[0]), pytest.approx(joint[1]))
    assert found.joint.num_images == len(rows)


def test_the_threshold_is_chosen_on_held_out_images_and_applied_to_unseen_labels() -> None:
    index = index_of()
    rows = measured_rows(index)
    features = features_of(index, rows)
    found = measure_sets(features, rows, index, torch.eye(len(LABELS)))
    assert found.threshold is not None
    assert found.id is not None
    assert found.ood is not None
    assert found.threshold.num_images == len(index.part("held_out"))
    assert found.id.decisions == found.threshold.decisions
    ood = [at for at, row in enumerate(rows) if index.items[row].part == "ood"]
    cosines = torch.nn.functional.normalize(features[ood], dim=1)[:, list(UNSEEN)]
    chosen = (cosines >= found.threshold.threshold).numpy()
    truth = np.array([[label in index.labels_at(rows[at]) for label in UNSEEN] for at in ood])
    assert found.ood.decisions is not None
    assert found.ood.decisions.recall == pytest.approx((chosen & truth).sum() / truth.sum())
    # OOD images have no influence on the threshold.
    other = features.clone()
    other[ood] = torch.randn(len(ood), 5, generator=torch.Generator().manual_seed(9))
    assert measure_sets(other, rows, index, torch.eye(5)).threshold == found.threshold


def test_a_part_without_images_is_absent_and_all_is_json() -> None:
    index = index_of()
    rows = index.part("held_out")
    found = measure_sets(features_of(index, rows), rows, index, torch.eye(5))
    assert found.ood is None
    assert found.joint is None
    assert json.loads(json.dumps(found.as_json())) == found.as_json()
    rows = index.part("ood")
    only_ood = measure_sets(features_of(index, rows), rows, index, torch.eye(5))
    assert only_ood.threshold is None
    assert only_ood.ood is not None
    assert only_ood.ood.decisions is None


def test_features_that_are_not_finite_and_equal_names_are_refused() -> None:
    index = index_of()
    rows = measured_rows(index)
    features = features_of(index, rows)
    with pytest.raises(ValueError, match="not finite"):
        measure_sets(features * float("nan"), rows, index, torch.eye(5))
    twice = ImageIndex.of("/", ("cat", "cat", "car", "bus", "x"), index.items)
    with pytest.raises(ValueError, match="two labels share a name"):
        measure_sets(features, rows, twice, torch.eye(5))


def test_features_that_are_not_finite_are_refused() -> None:
    """The order of cosines that are no numbers means nothing, and would be an average precision all the same."""
    index = index_of()
    rows = measured_rows(index)
    features = features_of(index, rows)
    features[3, 0] = torch.nan
    for measure in (measure_sets, mean_precisions):
        with pytest.raises(ValueError, match="not finite"):
            measure(features, rows, index, torch.eye(len(LABELS)))
