"""The loop: it learns, resumes to the bit in mid-epoch, stops when told, and stops by name on a number that is none."""

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distill import Stopped
from distill.config.train_config import TrainConfig
from distill.student.model import Student, StudentError, build_student
from distill.training.loader import batches, plan_batches
from distill.training.loop import NonFiniteLoss, StepMetrics, TrainResult, WriteState, _compiles, train
from distill.training.training_state import StateError
from tests.distill.helpers_train import WIDTH, small_config, small_data


class Saves:
    """Keeps every state that a run saves, in files by number."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.paths = folder, list[Path]()

    def __call__(self, write: WriteState) -> None:
        self.paths.append(self.folder / f"{len(self.paths)}.safetensors")
        write(self.paths[-1])


def run(config: TrainConfig, stop_at: int | None = None, **given: Any) -> tuple[TrainResult | None, list[StepMetrics]]:
    """Train; `stop_at` says after how many steps of this sitting to stop."""
    seen: list[StepMetrics] = []
    data = given.pop("data", None) or small_data()

    def should_stop() -> bool:
        return stop_at is not None and len(seen) >= stop_at

    try:
        return train(config, data, on_step=seen.append, should_stop=should_stop, **given), seen
    except Stopped:
        return None, seen


def weights(result: TrainResult | None) -> dict[str, torch.Tensor]:
    assert result is not None
    return result.student.model.state_dict()


def with_dropout(name: str, **given: Any) -> Student:
    student = build_student(name, **given)
    return dataclasses.replace(student, model=nn.Sequential(student.model, nn.Dropout(0.3)))


@pytest.mark.parametrize(
    "overrides",
    [
        {"average": "ema", "ema_decay": 0.7},
        {"optimizer": "sgd", "schedule": "one_cycle", "passes_per_epoch": 2, "average": "mean", "average_from": 0.5},
        {"optimizer": "sgd", "momentum": 0, "accumulate": 2, "augmentation": {"rand_ops": 2}},
        {"precision": "float16"},
        {"losses": {"queue_kl": 1, "neighbour": 1}, "queue_size": 20},
    ],
)
def test_resumed_in_mid_epoch_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any]
) -> None:
    monkeypatch.setattr("distill.training.loop.build_student", with_dropout)
    config = small_config(epochs=3, **overrides)
    whole, steps = run(config)
    saves = Saves(tmp_path)
    first, _ = run(config, stop_at=2, save=saves)
    assert first is None
    torch.manual_seed(12345)  # whatever else draws numbers in between
    second, more = run(config, stop_at=2, save=saves, resume=saves.paths[-1])
    assert second is None
    assert more[0].step == 3
    third, rest = run(config, save=saves, resume=saves.paths[-1])
    assert rest[-1].step == steps[-1].step == steps[-1].total_steps
    for name, tensor in weights(whole).items():
        assert torch.equal(weights(third)[name], tensor), name
    assert third is not None
    assert [line["step"] for line in third.log] == [metrics.step for metrics in steps]
    for line, metrics in zip(third.log, steps, strict=True):
        assert line["loss"] == pytest.approx(metrics.loss, rel=1e-5)


def test_a_run_that_goes_on_compiles_as_it_did_at_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr("distill.training.loop._compiles", lambda _config, _device, left: bool(asked.append(left)))
    saves = Saves(tmp_path)
    run(small_config(), stop_at=2, save=saves)
    run(small_config(), save=saves, resume=saves.paths[-1])
    begun, gone_on = asked
    assert gone_on == begun


@pytest.mark.parametrize(
    ("compiler", "device", "asked", "steps", "does"),
    [
        ("g++", "cuda", "auto", 2_000, True),
        ("g++", "cuda", "auto", 1_999, False),
        ("g++", "cpu", "auto", 10_000, True),  # of 8 pictures of 224 pixels
        ("g++", "cpu", "auto", 9_000, False),
        ("", "cpu", "auto", 10_000, False),
        ("", "cuda", "auto", 2_000, True),
        ("", "cpu", "on", 1, True),
        ("g++", "cpu", "off", 10_000, False),
    ],
)
def test_long_runs_are_compiled_where_that_pays(
    monkeypatch: pytest.MonkeyPatch, compiler: str, device: str, asked: str, steps: int, does: bool
) -> None:
    monkeypatch.setattr("distill.training.loop._has_compiler", lambda: bool(compiler))
    config = small_config(compile=asked, batch_size=8, image_px=224)
    assert _compiles(config, torch.device(device), steps) == does


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    whole, _ = run(small_config(), save=saves)
    again, steps = run(small_config(), resume=saves.paths[-1])
    assert steps == []
    assert all(torch.equal(weights(again)[name], tensor) for name, tensor in weights(whole).items())


def test_a_run_is_a_function_of_its_seed() -> None:
    one, same, other = (weights(run(small_config(seed=seed))[0]) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], tensor) for name, tensor in same.items())
    assert not all(torch.equal(one[name], tensor) for name, tensor in other.items())


def test_a_student_learns_the_labels_and_the_teacher() -> None:
    _, steps = run(small_config(epochs=12, lr=3e-3))
    first, last = steps[0].losses, steps[-1].losses
    assert set(first) == {"cls", "mse", "im_cst"}
    assert last["cls"] < 0.2 * first["cls"]
    assert last["mse"] < 0.3 * first["mse"]


def test_states_are_saved_by_epoch_by_time_and_on_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_time, on_stop, by_epoch, at_the_end = (Saves(tmp_path / name) for name in ("time", "stop", "epoch", "end"))
    for saves in (by_time, on_stop, by_epoch, at_the_end):
        saves.folder.mkdir()
    run(small_config(save_every_s=1e-6), save=by_time)
    assert len(by_time.paths) == 6
    run(small_config(), stop_at=1, save=on_stop)
    assert len(on_stop.paths) == 1
    run(small_config(), save=at_the_end)
    assert len(at_the_end.paths) == 1
    monkeypatch.setattr("distill.training.metrics.SHORT_EPOCH_S", 0)
    run(small_config(), save=by_epoch)
    assert len(by_epoch.paths) == 2


def test_what_is_found_at_an_epochs_end_is_logged_once_and_changes_nothing(tmp_path: Path) -> None:
    def look(epoch: int, student: Student, context: torch.Tensor | None) -> dict[str, Any] | None:
        told.append(epoch)
        assert context is None
        student.model.eval()
        torch.manual_seed(99)
        return {"accuracy": {"id": epoch / 10}} if epoch > 1 else None

    told: list[int] = []
    plain, _ = run(small_config(epochs=3))
    whole, _ = run(small_config(epochs=3), on_epoch=look)
    assert told == [1, 2, 3]
    assert all(torch.equal(weights(plain)[name], tensor) for name, tensor in weights(whole).items())
    saves = Saves(tmp_path)
    run(small_config(epochs=3), stop_at=6, save=saves, on_epoch=look)
    resumed, _ = run(small_config(epochs=3), resume=saves.paths[-1], on_epoch=look)
    assert told == [1, 2, 3, 1, 2, 3]
    for result in (whole, resumed):
        assert result is not None
        found = [line for line in result.log if "accuracy" in line]
        assert found == [{"step": 3 * n, "epoch": n, "accuracy": {"id": n / 10}} for n in (2, 3)]


def test_stop_is_asked_before_every_step() -> None:
    result, steps = run(small_config(), stop_at=0)
    assert (result, steps) == (None, [])


def test_metrics_say_where_the_run_is() -> None:
    result, steps = run(small_config())
    assert [(m.step, m.epoch) for m in steps] == [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]
    for metrics in steps:
        assert metrics.total_steps == 6
        assert metrics.epochs == 2
        assert metrics.loss == pytest.approx(sum(metrics.losses.values()))
        assert metrics.images_per_s > 0
        assert 0 <= metrics.data_wait <= 1
    assert steps[-1].eta_s == 0
    assert steps[0].eta_s > 0
    assert result is not None
    assert not result.student.model.training
    assert result.seconds > 0


def test_a_term_of_weight_zero_is_left_out_and_weights_count() -> None:
    _, steps = run(small_config(losses={"cls": 0, "im_cst": 2.5}, epochs=1))
    assert set(steps[0].losses) == {"mse", "im_cst"}
    assert steps[0].loss == pytest.approx(steps[0].losses["mse"] + 2.5 * steps[0].losses["im_cst"])


@pytest.mark.parametrize("overrides", [{"mse_form": "unnormalised"}, {"im_cst_mode": "image_to_teacher"}])
def test_forms_of_a_term_change_it(overrides: dict[str, Any]) -> None:
    _, usual = run(small_config(epochs=1))
    _, other = run(small_config(epochs=1, **overrides))
    assert usual[0].losses["cls"] == other[0].losses["cls"]
    assert usual[0].losses != other[0].losses


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_autocast_trains_too(precision: str) -> None:
    result, steps = run(small_config(precision=precision))
    _, exact = run(small_config())
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in weights(result).values())
    assert steps[-1].step == 6
    assert steps[0].loss == pytest.approx(exact[0].loss, rel=0.02)
    assert steps[0].loss != exact[0].loss


def test_a_loss_that_is_no_number_stops_the_run_before_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(student: torch.Tensor, teacher: torch.Tensor, *, form: str) -> torch.Tensor:
        return (student - teacher).sum() * float("nan") if len(seen) == 3 else (student - teacher).square().mean()

    seen: list[StepMetrics] = []
    monkeypatch.setattr("distill.losses.feature_mse.feature_mse", broken)
    with pytest.raises(NonFiniteLoss, match="step 4: loss term mse is nan") as caught:
        train(small_config(), small_data(), on_step=seen.append)
    assert (caught.value.step, caught.value.term) == (4, "mse")
    assert len(seen) == 3


def spoiled(change: Callable[[Any], dict[str, Any]]) -> Any:
    data = small_data()
    return dataclasses.replace(data, **change(data))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: {"teacher": torch.full_like(d.teacher, float("nan"))}, "24 teacher image features"),
        (lambda d: {"teacher": d.teacher[:, :, :5]}, "width 5, texts of 12"),
        (lambda d: {"teacher": d.teacher[:5]}, "24 pictures, 24 labels and 5 teacher"),
        (lambda d: {"labels": d.labels + 1}, "outside the 3 texts"),
        (lambda d: {"usable": d.usable[:1]}, "two are the least"),
        (lambda d: {"usable": d.usable[::3]}, "all usable images are of one label"),
    ],
)
def test_data_that_does_not_fit_together_is_refused(change: Callable[[Any], dict[str, Any]], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        train(small_config(), spoiled(change))


def test_a_teacher_feature_that_is_not_used_may_be_anything() -> None:
    data = small_data()
    data.teacher[3] = float("nan")
    result, _ = run(small_config(), data=dataclasses.replace(data, usable=np.delete(data.usable, 3)))
    assert all(torch.isfinite(tensor).all() for tensor in weights(result).values())


def test_the_state_of_another_student_is_refused(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    run(small_config(), stop_at=1, save=saves)
    with pytest.raises(StateError, match="config.student was 'test_resnet', is 'test_vit'"):
        run(small_config(student="test_vit"), resume=saves.paths[-1])
    data = dataclasses.replace(small_data(), digests={"dataset": "d1", "texts": "t0"})
    with pytest.raises(StateError, match="data.dataset was 'd0', is 'd1'"):
        run(small_config(), resume=saves.paths[-1], data=data)


def test_a_student_that_does_not_take_the_size_is_refused() -> None:
    with pytest.raises(StudentError, match="24 px"):
        train(small_config(student="edgenext_xx_small", image_px=24), small_data())


def test_each_pass_shows_every_image_once_at_its_own_view() -> None:
    data, config = small_data(24), small_config(epochs=2)
    drawn = list(batches(data, config, 0, torch.device("cpu")))
    passes = [torch.cat([batch.teacher for batch in drawn[start : start + 3]]) for start in (0, 3)]
    for teacher in passes:
        assert sorted(teacher[:, 0].tolist()) == sorted(data.teacher[:, 0, 0].tolist())
    assert not torch.equal(*passes)
    boxes = np.concatenate([batch.views.boxes for batch in drawn])
    assert len(np.unique(boxes, axis=0)) > 40
    late = list(batches(data, config, 4, torch.device("cpu")))
    assert len(late) == 2
    np.testing.assert_array_equal(late[0].views.boxes, drawn[4].views.boxes)
    assert torch.equal(late[0].pixels, drawn[4].pixels)


def test_a_batch_can_have_one_view_for_all_its_images() -> None:
    config = small_config(epochs=2, augmentation={"per": "batch", "rand_ops": 2})
    drawn = [batch.views for batch in batches(small_data(24), config, 0, torch.device("cpu"))]
    for views in drawn:
        assert views.ops is not None
        for values in (views.boxes, views.flips, views.ops.kinds, views.ops.negative):
            assert len(np.unique(values, axis=0)) == 1
    assert len({tuple(views.boxes[0]) for views in drawn}) == 6


def test_a_batch_is_no_larger_than_the_images_there_are() -> None:
    steps = plan_batches(small_config(batch_size=512, epochs=3, passes_per_epoch=2), 24)
    assert (steps.batch_size, steps.steps_per_epoch, steps.total_steps) == (24, 2, 6)
    assert small_data().texts.shape[1] == WIDTH


def test_the_loop_fits_a_screen() -> None:
    source = inspect.getsource(train)
    loop = source[source.index("        for batch in batches(") : source.index("    last = average.swap_in()")]
    assert 20 < len(loop.splitlines()) <= 50
