"""Unlabelled images in batches: their share, turns and order, the terms that use them, and exact resume."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distill import Stopped
from distill.config.loss_registry import LOSS_TERMS, needs_labels
from distill.data.draws.unlabelled import num_unlabelled
from distill.training.loader import TrainData, batches, plan_batches
from distill.training.loop import train
from distill.training.objective import Objective, ObjectiveInputs
from tests.distill.helpers_train import hooks_stopping_after, small_config, small_data
from tests.distill.training.test_objective import random_inputs


def data_with_unlabelled(num_labelled: int = 16, num_unlabelled: int = 10) -> TrainData:
    data = small_data(num_labelled + num_unlabelled)
    labels = data.labels.copy()
    labels[num_labelled:] = -1
    return replace(data, labels=labels, unlabelled=np.arange(num_labelled, len(labels), dtype=np.int64))


@pytest.mark.parametrize(
    ("batch_size", "share", "parts", "expected"),
    [(128, 0.5, 1, 64), (128, 0.25, 4, 32), (128, 0.0, 1, 0), (128, 0.999, 1, 126), (8, 0.9, 4, 0), (10, 0.33, 2, 4)],
)
def test_share_of_a_batch(batch_size: int, share: float, parts: int, expected: int) -> None:
    assert num_unlabelled(batch_size, share, parts) == expected


@pytest.mark.image_input(
    "Splits and evaluation",
    "`--unlabelled DIR`: images without labels",
    "a share of every batch, for the losses that need no label",
)
def test_labelled_images_are_used_once_a_pass_and_unlabelled_ones_take_turns() -> None:
    data, config = data_with_unlabelled(), small_config(epochs=5, unlabelled_share=0.25)
    found = list(batches(data, config, 0, torch.device("cpu")))
    plan = plan_batches(config, 16, has_unlabelled=True)
    assert (plan.batch_size, plan.num_unlabelled, plan.steps_per_pass) == (8, 2, 2)
    rows = [[int(np.flatnonzero((data.teacher[:, 0] == one).all(dim=1))[0]) for one in b.teacher] for b in found]
    labelled = [[row for row in batch if row < 16] for batch in rows]
    assert all(len(batch) == 6 for batch in labelled)
    for first in range(0, len(found), 2):  # a pass
        assert len({*labelled[first], *labelled[first + 1]}) == 12
    drawn = [row for batch in rows for row in batch if row >= 16]
    assert len(drawn) == 20
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(16, 26))
    assert drawn[:10] != drawn[10:]
    for batch in found:  # every half has the same share
        assert (batch.labels[:4] < 0).sum() == (batch.labels[4:] < 0).sum() == 1


def test_terms_that_need_a_label_use_labelled_images_only() -> None:
    weights = {name: float(name != "closed_set") for name in LOSS_TERMS}
    config = small_config(losses=weights)
    inputs = random_inputs(6)
    mixed = inputs["labels"].clone()
    mixed[[1, 4]] = -1
    width = inputs["student"].shape[1]

    def objective() -> Objective:
        return Objective(config, width=width, teacher_scale=1 / 0.07, label_offset=0.1)

    both = objective()(ObjectiveInputs(**{**inputs, "labels": mixed}, has_unlabelled=True))
    kept = torch.tensor([0, 2, 3, 5])
    per_image = {
        name: inputs[name][kept] for name in ("student", "teacher", "ema", "labels", "images", "captions", "captioned")
    }
    only = objective()(ObjectiveInputs(**{**inputs, **per_image}))
    every = objective()(ObjectiveInputs(**inputs))
    for name, value in both.items():
        same = only if needs_labels(name) else every
        torch.testing.assert_close(value, same[name])
    assert not torch.equal(both["cls"], every["cls"])
    assert not torch.equal(both["mse"], only["mse"])


@pytest.mark.slow
def test_a_run_with_unlabelled_images_resumes_exactly(tmp_path: Path) -> None:
    data, config = data_with_unlabelled(), small_config(epochs=3, accumulate=2, losses={"im_cst": 1, "queue_kl": 1})
    whole = train(config, data)
    with pytest.raises(Stopped):
        train(config, data, hooks=hooks_stopping_after(2, tmp_path / "state.safetensors"))
    resumed = train(config, data, resume=tmp_path / "state.safetensors")
    for name, tensor in whole.student.model.state_dict().items():
        assert torch.equal(tensor, resumed.student.model.state_dict()[name])
    with_labels_only = train(config, replace(data, usable=np.arange(16), unlabelled=np.zeros(0, dtype=np.int64)))
    assert any(
        not torch.equal(tensor, with_labels_only.student.model.state_dict()[name])
        for name, tensor in whole.student.model.state_dict().items()
    )
