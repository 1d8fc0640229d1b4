"""Options of the loop: parts of a batch, averages, compiled students, numbers that are none, memory, events."""

import functools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from distill.config.recipes import variant
from distill.student.model import build_student
from distill.training.guards import NonFiniteLoss, OutOfMemory
from distill.training.loader import batches, plan_batches
from distill.training.loop import StepMetrics, train
from distill.training.tensorboard import EventLog
from tests.distill.helpers_train import IMAGE_PX, WIDTH, small_config, small_data
from tests.distill.training.test_loop import Saves, run, weights

PLAIN_SGD = {"student": "test_vit", "optimizer": "sgd", "momentum": 0, "schedule": "step", "warmup": 0, "epochs": 1}
MEANS = {"cls": 1, "mse": 1, "im_cst": 0}


def test_parts_of_a_batch_give_its_gradients_where_terms_are_means() -> None:
    """A step of rate 1 is the gradient; a student without batch norm, whose statistics are each part's own."""
    config = small_config(**PLAIN_SGD, lr=1, batch_size=24, weight_decay=0, losses=MEANS)
    whole, (of_whole,) = run(config)
    parts, (of_parts,) = run(variant(config, accumulate=4))
    assert of_parts.losses == pytest.approx(of_whole.losses, rel=1e-6)
    assert of_parts.loss == pytest.approx(of_whole.loss, rel=1e-6)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], tensor, rtol=1e-4, atol=1e-6)


def test_a_contrast_has_the_negatives_of_its_part() -> None:
    config = small_config(**PLAIN_SGD, batch_size=24, losses={"cls": 0, "mse": 0, "im_cst": 1})
    _, (of_whole,) = run(config)
    _, (of_parts,) = run(variant(config, accumulate=4))
    assert of_parts.loss < of_whole.loss


def test_a_batch_falls_into_parts_in_order() -> None:
    (batch,) = batches(small_data(), small_config(batch_size=24, epochs=1), 0, torch.device("cpu"))
    parts = list(batch.parts(3))
    assert [len(part.labels) for part in parts] == [8, 8, 8]
    for name in ("pixels", "labels", "teacher"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    assert [part.views.boxes[0].tolist() for part in parts] == batch.views.boxes[::8].tolist()


def test_a_plan_shares_a_batch_evenly() -> None:
    config = small_config(batch_size=64, accumulate=4)
    assert plan_batches(config, 50, num_ranks=2).batch_size == 48
    with pytest.raises(ValueError, match="15 usable images .* two are the least for each of 8 parts"):
        plan_batches(config, 15, num_ranks=2)
    with pytest.raises(ValueError, match="batch_size 64 does not make 12 equal parts"):
        plan_batches(config, 50, num_ranks=3)


def test_an_average_is_the_student_that_comes_out_and_the_last_one_is_there_too() -> None:
    config = small_config(average="mean", average_from=0.5)
    averaged, _ = run(config)
    last, _ = run(small_config())
    assert averaged is not None
    assert last is not None
    assert last.last is None
    assert averaged.last is not None
    assert all(torch.equal(averaged.last[name], tensor) for name, tensor in weights(last).items())
    assert not torch.equal(averaged.last["fc.weight"], weights(averaged)["fc.weight"])


def test_a_compiled_student_is_the_same_and_keeps_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[nn.Module] = []

    def eager(module: nn.Module) -> object:
        calls.append(module)
        return compiled(module)

    compiled = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", eager)
    plain, _ = run(small_config())
    assert calls == []
    saves = Saves(tmp_path)
    run(small_config(compile="on"), stop_at=2, save=saves)
    resumed, _ = run(small_config(compile="on"), resume=saves.paths[-1])
    assert len(calls) == 2
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(resumed)[name], tensor)


def test_a_gradient_that_is_no_number_stops_the_run_before_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(student: torch.Tensor, teacher: torch.Tensor, *, form: str) -> torch.Tensor:
        return (student * 0).sum().sqrt()  # 0, of infinite slope

    monkeypatch.setattr("distill.losses.feature_mse.feature_mse", broken)
    saves = Saves(tmp_path)
    seen: list[StepMetrics] = []
    with pytest.raises(NonFiniteLoss, match="step 1: the gradient is nan") as caught:
        train(small_config(accumulate=2, save_every_s=1e-6), small_data(), on_step=seen.append, save=saves)
    assert caught.value.term == "gradient"
    assert seen == saves.paths == []


def test_float16_leaves_out_a_step_that_overflows_but_not_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(student: torch.Tensor, teacher: torch.Tensor, *, form: str) -> torch.Tensor:
        return (student - teacher).square().sum() * 100

    monkeypatch.setattr("distill.losses.feature_mse.feature_mse", large)
    losses = {"cls": 0, "mse": 1, "im_cst": 0}
    saves = Saves(tmp_path)
    run(small_config(precision="float16", losses=losses, epochs=5, save_every_s=1e-6), save=saves)
    heads = [load_file(path)["model/student.fc.weight"] for path in saves.paths]
    begun = build_student("test_resnet", width=WIDTH, image_px=IMAGE_PX, seed=0).model.state_dict()["fc.weight"]
    assert torch.equal(heads[0], begun)
    assert not torch.equal(heads[-1], begun)

    def broken(student: torch.Tensor, teacher: torch.Tensor, *, form: str) -> torch.Tensor:
        return (student * 0).sum().sqrt()

    monkeypatch.setattr("distill.losses.feature_mse.feature_mse", broken)
    with pytest.raises(NonFiniteLoss, match="step 18: the gradient is inf"):
        run(small_config(precision="float16", losses=losses, epochs=20))


def test_a_gpu_without_room_is_told_of_with_what_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: nn.Module, images: torch.Tensor) -> torch.Tensor:
        if len(images) == 1:  # the trial when it is built
            return torch.zeros(1, 12)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("timm.models.resnet.ResNet.forward", full)
    says = (
        "batch of 8 images of 32 px does not fit on the GPU: set accumulate to 2, lower batch_size or image_px, or set"
    )
    with pytest.raises(OutOfMemory, match=says):
        run(small_config())


def test_events_are_there_for_tensorboard(tmp_path: Path) -> None:
    with EventLog(tmp_path) as events:
        train(small_config(), small_data(), on_step=events.step)
    with EventLog(tmp_path) as events:  # broken off after step 4 and gone on with
        _, steps = run(small_config())
        for metrics in steps[4:]:
            events.step(metrics)
    read = EventAccumulator(str(tmp_path)).Reload()
    assert set(read.Tags()["scalars"]) == {
        "loss/total",
        "loss/cls",
        "loss/mse",
        "loss/im_cst",
        "lr",
        "speed/images_per_s",
        "speed/data_wait",
    }
    assert [event.step for event in read.Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]
    assert read.Scalars("loss/cls")[0].value == pytest.approx(steps[0].losses["cls"], rel=1e-5)
