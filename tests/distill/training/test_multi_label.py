"""Training with sets of labels: the matrix of a batch, terms without labels, and the offset of the teacher."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from distill.config.multi_label import MultiLabelUnfit, check_multi_label
from distill.data.columns.label_sets import LabelSets
from distill.data.splits import LABEL_SET, NO_LABEL
from distill.losses.binary_cross_entropy import binary_cross_entropy
from distill.losses.label_matrix import label_matrix, teacher_offset
from distill.training.loader import TrainData, batches
from distill.training.objective import Objective, ObjectiveInputs
from tests.distill.helpers_train import run, small_config, small_data, weights

LOSSES = {"cls": 0, "mse": 1, "im_cst": 1, "asl": 1, "bce": 0.5}


def multi_label_data() -> TrainData:
    """The last image is unlabelled, and each third one has a second label."""
    data = small_data()
    sets = [(label,) if at % 3 else (label, (label + 1) % 3) for at, label in enumerate(data.labels.tolist())]
    labels = np.full(len(sets), LABEL_SET, dtype=np.int64)
    labels[-1] = NO_LABEL
    last = np.array([len(sets) - 1])
    return replace(data, labels=labels, label_sets=LabelSets([*sets[:-1], ()]), unlabelled=last)


def test_a_batch_has_the_labels_of_its_images() -> None:
    data, config = multi_label_data(), small_config(losses=LOSSES)
    seen = set()
    assert data.label_sets is not None
    for batch in batches(data, config, 0, torch.device("cpu")):
        assert batch.label_matrix is not None
        for image, shown in zip(batch.images.tolist(), batch.label_matrix, strict=True):
            assert tuple(torch.nonzero(shown).flatten().tolist()) == data.label_sets[image]
            seen.add(image)
        parts = list(batch.parts(2))
        assert torch.equal(
            torch.cat([part.label_matrix for part in parts if part.label_matrix is not None]), batch.label_matrix
        )
    assert len(seen) > 20


def inputs(data: TrainData, rows: list[int]) -> dict[str, Any]:
    assert data.label_sets is not None
    random = torch.Generator().manual_seed(1)
    return {
        "student": torch.randn(len(rows), data.texts.shape[1], generator=random),
        "teacher": data.teacher[rows, 0],
        "labels": torch.from_numpy(data.labels[rows]),
        "texts": data.texts,
        "images": torch.tensor(rows),
        "label_matrix": label_matrix(data.label_sets, np.array(rows), len(data.texts)),
    }


def test_unlabelled_images_count_only_in_terms_without_labels() -> None:
    data, config = multi_label_data(), small_config(losses=LOSSES)
    objective = Objective(config, width=data.texts.shape[1], label_offset=0.3)
    with_last, without = inputs(data, [0, 1, 5, 23]), inputs(data, [0, 1, 5])
    without["student"] = with_last["student"][:3]
    all_terms = objective(ObjectiveInputs(**with_last, has_unlabelled=True))
    labelled_terms = objective(ObjectiveInputs(**without))
    for name in ("asl", "bce"):
        assert all_terms[name].item() == pytest.approx(labelled_terms[name].item())
    assert all_terms["mse"].item() != pytest.approx(labelled_terms["mse"].item())
    assert objective.predicted is None  # no accuracy of one label


def test_one_label_an_image_is_a_set_of_one() -> None:
    config = small_config(losses={"cls": 0, "mse": 0, "im_cst": 0, "bce": 1})
    data = small_data()
    features = torch.randn(4, data.texts.shape[1], generator=torch.Generator().manual_seed(2))
    labels = torch.tensor([0, 2, 1, 2])
    given = ObjectiveInputs(student=features, teacher=features, labels=labels, texts=data.texts)
    value = Objective(config, width=data.texts.shape[1], label_offset=0.3)(given)["bce"]
    expected = binary_cross_entropy(
        features, data.texts, torch.eye(3)[labels], temperature=config.objective.temperature, offset=0.3
    )
    assert value.item() == expected.item()


def test_a_training_stops_and_resumes_to_the_bit(tmp_path: Path) -> None:
    data, config = multi_label_data(), small_config(losses=LOSSES)
    whole, steps = run(config, data=data)
    assert {"asl", "bce", "mse", "im_cst"} == set(steps[0].losses)
    assert steps[-1].losses["asl"] < steps[0].losses["asl"]
    assert all(step.train_accuracy is None for step in steps)
    state = tmp_path / "state.safetensors"
    run(config, 3, data=data, save=lambda write: write(state))
    resumed, _ = run(config, data=data, resume=state)
    found, expected = weights(resumed), weights(whole)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_offset_of_the_teacher_is_measured_on_labelled_images() -> None:
    data, config = multi_label_data(), small_config(losses=LOSSES)
    given = (data.teacher, data.texts, data.labels, data.label_sets, data.usable)
    offset = teacher_offset(config, *given)
    assert offset is not None
    rows = data.usable[:-1]
    cosines = torch.nn.functional.normalize(data.teacher[rows, 0]) @ data.texts.T
    assert data.label_sets is not None
    expected = sum(map(len, data.label_sets))
    assert torch.sigmoid((cosines - offset) / config.objective.temperature).sum().item() == pytest.approx(
        expected, rel=1e-3
    )
    assert teacher_offset(small_config(), *given) is None
    assert teacher_offset(small_config(losses=LOSSES, label_offset=0.2), *given) is None
    single = small_data()
    assert teacher_offset(config, single.teacher, single.texts, single.labels, None, single.usable) is not None


def test_settings_for_one_label_an_image_are_refused() -> None:
    for settings, field, words in (
        (
            {},
            ("objective", "losses", "cls"),
            "the loss cls need one label an image: set losses.cls to 0; these fit: mse",
        ),
        ({"losses": {**LOSSES, "icl": 1}}, ("objective", "losses", "icl"), "set losses.icl to 0"),
        ({"losses": LOSSES, "sampling": "balanced"}, ("data", "sampling"), "use uniform"),
        ({"losses": LOSSES, "protocol": "retrieval", "shots": 2}, ("data", "protocol"), "use zero_shot"),
    ):
        with pytest.raises(MultiLabelUnfit, match="several labels") as caught:
            check_multi_label(small_config(**settings))
        assert caught.value.field == field
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    check_multi_label(small_config(losses=LOSSES))
    check_multi_label(small_config(losses={"cls": 0}))


def test_offset_and_focusing_are_checked() -> None:
    with pytest.raises(ValidationError, match="give label_offset a cosine"):
        small_config(losses=LOSSES, view="live")
    small_config(losses=LOSSES, view="live", label_offset=0.2)
    with pytest.raises(ValidationError, match="give 0, or at least 1"):
        small_config(asl_gamma_positive=0.5)
