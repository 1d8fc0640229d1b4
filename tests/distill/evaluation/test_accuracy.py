"""Zero-shot accuracy: means over labels, parts, top-5, confusions, and errors for invalid inputs."""

import dataclasses
import itertools
import json
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill.evaluation.accuracy import (
    NUM_CONFUSIONS,
    Evaluation,
    LabelSetAccuracy,
    LastEpochs,
    evaluate,
    evaluate_features,
    last_epochs,
)

NAMES = ["crane", "heron", "finch", "jay"]
TARGETS = torch.eye(4, 6)


def evaluate_texts(labels: list[int], seen: list[int], **given: object) -> dict[str, object]:
    """Evaluate images of `labels` whose features are the texts with the indices `seen`."""
    features = 7 * TARGETS[seen] + 0.01
    result = evaluate(
        "names",
        features,
        np.array(labels, dtype=np.int64),
        TARGETS,
        names=NAMES,
        **{"id_labels": [0, 1], "ood_labels": [2, 3]} | given,
    )
    return result.as_json()


def test_accuracy_is_the_mean_over_labels() -> None:
    got = evaluate_texts([0, 0, 0, 0, 1], [0, 0, 0, 1, 0])
    assert isinstance(got["id"], dict)
    assert {name: got["id"][name] for name in ("accuracy", "chance", "num_labels", "num_images", "per_label")} == {
        "accuracy": 0.375,
        "chance": 0.5,
        "num_labels": 2,
        "num_images": 5,
        "per_label": {"crane": 0.75, "heron": 0.0},
    }
    assert got["ood"] is got["joint"] is got["last_epochs"] is None
    assert json.loads(json.dumps(got)) == got


def test_each_part_is_classified_among_its_own_labels() -> None:
    # A jay that is closest to the crane is classified among finches and jays only.
    features = torch.tensor([[0, 0, 1.0, 0, 0, 0], [5.0, 0, 0, 1.0, 0, 0], [0, 1.0, 9.0, 0, 0, 0]])
    got = evaluate("names", features, np.array([2, 3, 1]), TARGETS, names=NAMES, id_labels=[1, 0], ood_labels=[3, 2])
    assert got.ood is not None
    assert got.id is not None
    assert got.ood.per_label == {"finch": 1.0, "jay": 1.0}
    assert got.id.per_label == {"heron": 1.0}
    assert (got.id.num_labels, got.id.chance) == (2, 0.5)


def test_label_without_images_is_only_a_wrong_choice() -> None:
    result = evaluate_features(TARGETS[[0]], np.array([0]), TARGETS, [0, 1, 2], names=NAMES)
    assert (result.accuracy, result.num_labels, result.per_label) == (1.0, 3, {"crane": 1.0})


def test_batches_of_images_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    features, targets = torch.randn(500, 6, generator=random), torch.randn(9, 6, generator=random)
    labels = np.arange(500) % 9
    names = [f"label {at}" for at in range(9)]
    want = (F.normalize(features, dim=1) @ F.normalize(targets, dim=1).T).argmax(1).numpy() == labels
    whole = evaluate_features(features, labels, targets, range(9), names=names)
    monkeypatch.setattr("distill.evaluation.accuracy.ELEMENTS_AT_ONCE", 64 * 9)
    got = evaluate_features(features, labels, targets, range(9), names=names)
    assert (got.per_label, got.top5, got.confusions) == (whole.per_label, whole.top5, whole.confusions)
    assert got.calibration.error == pytest.approx(whole.calibration.error, abs=1e-6)
    assert got.per_label == {names[at]: pytest.approx(want[labels == at].mean()) for at in range(9)}


def test_joint_result_classifies_among_all_labels() -> None:
    # Both cranes are right; one of the two finches is classified as a crane if cranes are among the choices.
    features = torch.tensor([[1.0, 0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0, 0], [0, 0, 1.0, 0, 0, 0], [0.9, 0, 0.8, 0, 0, 0]])
    labels = np.array([0, 0, 2, 2])
    got = evaluate("names", features, labels, TARGETS, names=NAMES, id_labels=[0, 1], ood_labels=[2, 3])
    assert got.ood is not None
    assert got.joint is not None
    assert got.ood.accuracy == 1
    assert (got.joint.id_accuracy, got.joint.ood_accuracy) == (1, 0.5)
    assert got.joint.harmonic_mean == pytest.approx(2 / 3)
    assert (got.joint.num_labels, got.joint.chance) == (4, 0.25)
    low, high = got.joint.harmonic_intervals.images
    assert low < 2 / 3 < high


def test_top5_calibration_and_confusions_equal_an_independent_computation() -> None:
    random = torch.Generator().manual_seed(1)
    features, targets = torch.randn(400, 6, generator=random), torch.randn(12, 6, generator=random)
    labels = np.arange(400) % 10  # two labels have no image
    names = [f"label {at}" for at in range(12)]
    got = evaluate_features(features, labels, targets, range(12), names=names, temperature=0.2)
    logits = (F.normalize(features.double(), dim=1) @ F.normalize(targets.double(), dim=1).T) / 0.2
    hits = np.array([label in row for label, row in zip(labels, logits.topk(5, dim=1).indices.tolist(), strict=True)])
    assert got.top5 == pytest.approx(np.mean([hits[labels == at].mean() for at in range(10)]))
    confidence, chosen = (each.numpy() for each in logits.softmax(dim=1).max(dim=1))
    edges = np.linspace(0, 1, 16)
    error = sum(
        inside.mean() * abs((chosen == labels)[inside].mean() - confidence[inside].mean())
        for low, high in itertools.pairwise(edges)
        if (inside := (confidence > low) & (confidence <= high)).any()
    )
    assert got.calibration.error == pytest.approx(error, abs=1e-6)
    assert (got.calibration.num_bins, got.calibration.temperature) == (15, 0.2)
    assert sum(each.num_images for each in got.calibration.bins) == 400
    pairs = Counter((a, b) for a, b in zip(labels.tolist(), chosen.tolist(), strict=True) if a != b)
    counted = {(names.index(one.label), names.index(one.taken_for)): one.num_images for one in got.confusions}
    assert len(counted) == min(len(pairs), NUM_CONFUSIONS) > 20
    assert list(counted.values()) == [many for _, many in pairs.most_common(NUM_CONFUSIONS)]
    assert all(pairs[pair] == many for pair, many in counted.items())
    assert got.confusions[0].share == got.confusions[0].num_images / 40


def test_agreement_is_measured_with_teacher_features() -> None:
    features = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    labels = np.array([0, 1, 2, 3, 0, 2])
    given = {"names": NAMES, "id_labels": [0, 1], "ood_labels": [2, 3]}
    got = evaluate("names", features, labels, TARGETS, teacher_features=3 * features, **given)  # type: ignore[arg-type]
    for part in (got.id, got.ood):
        assert part is not None
        assert part.agreement is not None
        assert part.agreement.feature_cosine == pytest.approx(1)
        assert (part.agreement.num_images, part.agreement.num_texts) == (3, 2)


def test_last_epochs_are_averaged_from_the_training_log() -> None:
    def line(epoch: int, seen: float) -> dict[str, object]:
        part = evaluate_features(TARGETS[[0]], np.array([0]), TARGETS, [0, 1], names=NAMES)
        found = Evaluation(text="names", id=dataclasses.replace(part, accuracy=seen), ood=None, joint=None).summary()
        return {"step": 3 * epoch, "epoch": epoch, **json.loads(json.dumps(found))}

    log = [{"step": 1, "loss": 2.0}, line(7, 0.5), {"step": 2, "loss": 1.0}, line(8, 0.7), line(9, 0.8)]
    assert last_epochs(log, 2) == LastEpochs(
        epochs=(8, 9), id_accuracy=pytest.approx(0.75), ood_accuracy=None, harmonic_mean=None
    )
    assert last_epochs(log[:1], 5) is last_epochs(log, 0) is None


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        ([0], {"ood_labels": [1, 2]}, '"heron" is both ID and OOD'),
        ([3], {"ood_labels": [2]}, 'images of "jay"'),
    ],
)
def test_overlapping_or_foreign_labels_are_refused(labels: list[int], given: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_texts(labels, labels, **given)


def test_no_image_equal_names_and_non_finite_features_are_refused() -> None:
    for features, labels, names, message in (
        (TARGETS[:0], [], NAMES, "no image"),
        (TARGETS[:1], [0], ["crane", "crane", "finch", "jay"], "share a name"),
        (TARGETS[:1] * float("nan"), [0], NAMES, "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_features(features, np.array(labels, dtype=np.int64), TARGETS, [0, 1], names=names)


def test_results_are_immutable() -> None:
    result = evaluate_features(TARGETS[[0]], np.array([0]), TARGETS, [0, 1], names=NAMES)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.accuracy = 1.0  # type: ignore[misc]


@pytest.mark.image_input(
    "Splits and evaluation", "measured images with several labels", "right if the closest text is of any of them"
)
def test_image_with_several_labels_is_right_if_the_closest_text_is_of_any() -> None:
    # Image 0 shows a crane and a heron, image 1 a crane, image 2 a heron and a finch.
    labels, numbers = np.array([0, 1, 0, 1, 2]), np.array([7, 7, 1, 4, 4])
    features = TARGETS[[1, 1, 1, 0, 0]] + 0.01

    def result(**given: object) -> LabelSetAccuracy:
        return evaluate_features(features, labels, TARGETS, [0, 1, 2], names=NAMES, **given)

    several = result(image_numbers=numbers)
    assert several.per_label == {"crane": 0.5, "heron": 0.5, "finch": 0.0}
    assert result().per_label == {"crane": 0.0, "heron": 0.5, "finch": 0.0}
    assert [(one.label, one.taken_for) for one in several.confusions] == [
        ("crane", "heron"),
        ("heron", "crane"),
        ("finch", "crane"),
    ]
    alone = result(image_numbers=np.arange(5))
    assert alone == result()
    got = evaluate(
        "names",
        features,
        labels,
        TARGETS,
        names=NAMES,
        id_labels=[0, 1],
        ood_labels=[2],
        image_numbers=numbers,
    )
    assert got.id is not None
    assert got.id.per_label == {"crane": 0.5, "heron": 0.5}
    assert got.joint is not None
    assert (got.joint.id_accuracy, got.joint.ood_accuracy) == (0.5, 0.0)


def test_top5_counts_the_best_label_of_an_image() -> None:
    targets = torch.eye(8)
    features = torch.tensor([[8.0, 7, 6, 5, 4, 3, 2, 1]] * 2)
    names = [str(label) for label in range(8)]
    several = evaluate_features(
        features, np.array([3, 7]), targets, range(8), names=names, image_numbers=np.array([0, 0])
    )
    assert (several.accuracy, several.top5) == (0.0, 1.0)
    assert evaluate_features(features, np.array([3, 7]), targets, range(8), names=names).top5 == 0.5
