"""Guards: inconsistent data and out-of-memory errors."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distill.training.guards import OutOfMemory
from distill.training.loader import TrainData
from distill.training.loop import train
from tests.distill.helpers_train import run, small_config, small_data, weights


def changed(change: Callable[[TrainData], dict[str, Any]]) -> TrainData:
    data = small_data()
    return dataclasses.replace(data, **change(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {"teacher": torch.full_like(d.teacher, float("nan"))}, "24 teacher image features"),
        (lambda d: {"teacher": d.teacher[:, :, :5]}, "width 5, texts of 12"),
        (lambda d: {"teacher": d.teacher[:5]}, "24 images, 24 labels and 5 teacher"),
        (lambda d: {"labels": d.labels + 1}, "from 1 to 3 do not fit 3 texts"),
        (lambda d: {"usable": d.usable[:1]}, "needs at least two labels"),
        (lambda d: {"usable": d.usable[::3]}, "all usable images have the same label"),
    ],
)
def test_inconsistent_data_is_refused(change: Callable[[Any], dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(small_config(), changed(change))


def test_unused_rows_may_have_non_finite_features() -> None:
    data = small_data()
    data.teacher[3] = float("nan")
    result, _ = run(small_config(), data=dataclasses.replace(data, usable=np.delete(data.usable, 3)))
    assert all(torch.isfinite(tensor).all() for tensor in weights(result).values())


def test_out_of_memory_error_names_sizes_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: nn.Module, images: torch.Tensor) -> torch.Tensor:
        if len(images) == 1:  # the check of the built student
            return torch.zeros(1, 12)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("timm.models.resnet.ResNet.forward", full)
    message = (
        "batch of 8 images of 32 px does not fit on the GPU: set accumulate to 2, lower batch_size or image_px, or set"
    )
    with pytest.raises(OutOfMemory, match=message):
        run(small_config())
