"""Few-shot: which images are selected, and batches composed as published, reproducibly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill import Stopped
from distill.data.counter_rng import shuffled
from distill.data.few_shot import BatchSplit, FewShotError, exclude_rows, few_shot_rows, split_batch, support_rows
from distill.data.image_index import ImageIndex, Item
from distill.training.loader import batches, plan_batches
from distill.training.loop import train
from tests.distill.helpers_train import hooks_stopping_after, small_config, small_data

FEW_SHOT = {"protocol": "fine_tune", "shots": 2}


def image_index(ood: dict[str, int]) -> ImageIndex:
    labels = ("seen", "also seen", *ood)
    items = [Item(f"{label}/{at}.jpg", place, "train") for place, label in enumerate(labels[:2]) for at in range(3)]
    items += [
        Item(f"{label}/{at}.jpg", 2 + place, "ood") for place, label in enumerate(ood) for at in range(ood[label])
    ]
    return ImageIndex.of("/images", labels, iter(items))


def test_support_rows_are_the_first_images_of_each_ood_label() -> None:
    index = image_index({"finch": 4, "jay": 3})
    few = support_rows(index, 2)
    assert [index.paths[at] for at in few] == ["finch/0.jpg", "finch/1.jpg", "jay/0.jpg", "jay/1.jpg"]
    assert [index.paths[at] for at in exclude_rows(index.part("ood"), few)] == [
        "finch/2.jpg",
        "finch/3.jpg",
        "jay/2.jpg",
    ]


def test_too_many_shots_are_refused_by_label() -> None:
    with pytest.raises(FewShotError, match='needs 3 shots and an image to test on; "jay" has 3$'):
        support_rows(image_index({"finch": 4, "jay": 3}), 3)
    with pytest.raises(FewShotError, match="and 3 labels more"):
        support_rows(image_index({f"bird {at}": 1 for at in range(8)}), 5)
    with pytest.raises(FewShotError, match="there are no OOD labels"):
        support_rows(image_index({}), 1)


@pytest.mark.slow
@given(st.integers(2, 64), st.integers(1, 100), st.integers(1, 100))
@settings(max_examples=100, deadline=None)
def test_half_a_batch_is_few_shot_images_or_all_of_them(batch_size: int, num_few: int, num_others: int) -> None:
    parts = split_batch(min(batch_size, num_few + num_others), num_few, num_others)
    size = min(batch_size, num_few + num_others)
    assert parts.few == (size // 2 if num_few > size // 2 else num_few)
    assert 1 <= parts.others <= num_others
    assert parts.few + parts.others <= size


@pytest.mark.parametrize(("num_few", "parts"), [(9, BatchSplit(few=4, others=4)), (3, BatchSplit(few=3, others=5))])
def test_batches_are_composed_as_split_and_a_pass_has_every_other_image_once(num_few: int, parts: BatchSplit) -> None:
    few, others = np.arange(100, 100 + num_few), np.arange(40)
    assert split_batch(8, num_few, 40) == parts
    order = shuffled(others, 1, 0)
    sampled = [few_shot_rows(few, order, parts, batch_index=at, seed=1, step=at) for at in range(40 // parts.others)]
    for rows in sampled:
        assert len(set(rows.tolist())) == 8
        assert (rows >= 100).sum() == parts.few
    seen = np.concatenate(sampled)
    assert sorted(seen[seen < 100].tolist()) == list(range(40 // parts.others * parts.others)) or parts.others == 5
    assert len(np.unique(seen[seen < 100])) == len(seen[seen < 100])
    # Another step samples other images in another order.
    assert not np.array_equal(sampled[0] >= 100, sampled[1] >= 100)
    if num_few > parts.few:
        assert set(np.concatenate(sampled)[np.concatenate(sampled) >= 100]) == set(few.tolist())
        assert {*sampled[0][sampled[0] >= 100]} != {*sampled[1][sampled[1] >= 100]}


def test_batches_are_a_function_of_seed_and_step() -> None:
    data = small_data(few=7)
    config = small_config(epochs=3, **FEW_SHOT)
    steps = plan_batches(config, 24, num_few=7)
    assert (steps.batch_size, steps.steps_per_pass) == (8, 17 // 4)
    whole = list(batches(data, config, 0, torch.device("cpu")))
    assert len(whole) == steps.total_steps == 12
    late = list(batches(data, config, 5, torch.device("cpu")))
    for resumed, expected in zip(late, whole[5:], strict=True):
        assert torch.equal(resumed.pixels, expected.pixels)
        np.testing.assert_array_equal(resumed.views.boxes, expected.views.boxes)
    # A few-shot image that recurs within a pass gets another view.
    boxes: dict[float, list[str]] = {}
    for batch in whole[:4]:
        for teacher, box in zip(batch.teacher[:, 0].tolist(), batch.views.boxes.tolist(), strict=True):
            boxes.setdefault(teacher, []).append(str(box))
    recurring = [views for views in boxes.values() if len(views) > 1]
    assert recurring
    assert all(len(set(views)) == len(views) for views in recurring)


@pytest.mark.slow
def test_fine_tuning_resumes_exactly(tmp_path: Path) -> None:
    data, config = small_data(few=5), small_config(epochs=2, **FEW_SHOT)
    whole = train(config, data)
    state = tmp_path / "state"
    with pytest.raises(Stopped):
        train(config, data, hooks=hooks_stopping_after(3, state))
    resumed = train(config, data, resume=state)
    for name, tensor in whole.student.model.state_dict().items():
        assert torch.equal(resumed.student.model.state_dict()[name], tensor), name


def test_few_shot_images_alone_are_refused() -> None:
    with pytest.raises(ValueError, match="all 5 usable images are few-shot images"):
        plan_batches(small_config(**FEW_SHOT), 5, num_few=5)


def test_few_shot_batch_is_divisible_by_ranks_and_parts() -> None:
    config = small_config(batch_size=16, accumulate=2, **FEW_SHOT)
    for num_few in (1, 5, 20):
        steps = plan_batches(config, 30, 2, num_few=num_few)
        assert steps.batch_size % 4 == 0
        assert steps.split.others >= 1
    with pytest.raises(ValueError, match="1 usable images other than few-shot ones: too few for 8 parts"):
        plan_batches(small_config(batch_size=16, accumulate=2, **FEW_SHOT), 30, 4, num_few=29)
