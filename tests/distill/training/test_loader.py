"""Batches: each pass uses every image once with new views; plans, parts, and one view per batch."""

import numpy as np
import pytest
import torch

from distill.training.loader import batches, plan_batches
from tests.distill.helpers_train import WIDTH, small_config, small_data


def test_each_pass_uses_every_image_once_with_new_views() -> None:
    data, config = small_data(24), small_config(epochs=2)
    all_batches = list(batches(data, config, 0, torch.device("cpu")))
    passes = [torch.cat([batch.teacher for batch in all_batches[start : start + 3]]) for start in (0, 3)]
    for teacher in passes:
        assert sorted(teacher[:, 0].tolist()) == sorted(data.teacher[:, 0, 0].tolist())
    assert not torch.equal(*passes)
    boxes = np.concatenate([batch.views.boxes for batch in all_batches])
    assert len(np.unique(boxes, axis=0)) > 40
    late = list(batches(data, config, 4, torch.device("cpu")))
    assert len(late) == 2
    np.testing.assert_array_equal(late[0].views.boxes, all_batches[4].views.boxes)
    assert torch.equal(late[0].pixels, all_batches[4].pixels)


def test_all_images_of_a_batch_can_share_one_view() -> None:
    config = small_config(epochs=2, augmentation={"per": "batch", "rand_ops": 2})
    views_of_batches = [batch.views for batch in batches(small_data(24), config, 0, torch.device("cpu"))]
    for views in views_of_batches:
        assert views.ops is not None
        for values in (views.boxes, views.flips, views.ops.kinds, views.ops.negative):
            assert len(np.unique(values, axis=0)) == 1
    assert len({tuple(views.boxes[0]) for views in views_of_batches}) == 6


def test_parts_of_a_batch_are_in_order() -> None:
    (batch,) = batches(small_data(), small_config(batch_size=24, epochs=1), 0, torch.device("cpu"))
    parts = list(batch.parts(3))
    assert [len(part.labels) for part in parts] == [8, 8, 8]
    for name in ("pixels", "labels", "teacher"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    assert [part.views.boxes[0].tolist() for part in parts] == batch.views.boxes[::8].tolist()


def test_batch_is_no_larger_than_the_number_of_images() -> None:
    steps = plan_batches(small_config(batch_size=512, epochs=3, passes_per_epoch=2), 24)
    assert (steps.batch_size, steps.steps_per_epoch, steps.total_steps) == (24, 2, 6)
    assert small_data().texts.shape[1] == WIDTH


def test_batch_size_is_a_multiple_of_the_number_of_parts() -> None:
    config = small_config(batch_size=64, accumulate=4)
    assert plan_batches(config, 50, num_ranks=2).batch_size == 48
    with pytest.raises(ValueError, match="15 usable images .* at least two are needed for each of the 8 parts"):
        plan_batches(config, 15, num_ranks=2)
    with pytest.raises(ValueError, match="batch_size 64 is no multiple of 12"):
        plan_batches(config, 50, num_ranks=3)
