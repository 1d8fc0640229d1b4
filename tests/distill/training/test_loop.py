"""The training loop: it learns, resumes bit for bit in mid-epoch, saves, stops, and calls its hooks."""

import dataclasses
import functools
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from distill.config.recipes import variant
from distill.config.train_config import StudentConfig
from distill.student.model import Student, build_student, configured_student
from distill.training.guards import NonFiniteLoss
from distill.training.hooks import CopyStudent, StudentNow, TrainHooks
from distill.training.loop import train, training_step
from distill.training.metrics import StepMetrics
from tests.distill.helpers_train import IMAGE_PX, WIDTH, SavedStates, run, small_config, small_data, weights

PLAIN_SGD = {"student": "test_vit", "optimizer": "sgd", "momentum": 0, "schedule": "step", "warmup": 0, "epochs": 1}
MEAN_TERMS = {"cls": 1, "mse": 1, "im_cst": 0}


def with_dropout(config: StudentConfig, **given: Any) -> Student:
    student = configured_student(config, **given)
    return dataclasses.replace(student, model=nn.Sequential(student.model, nn.Dropout(0.3)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        {"average": "ema", "ema_decay": 0.7},
        {"optimizer": "sgd", "schedule": "one_cycle", "passes_per_epoch": 2, "average": "mean", "average_from": 0.5},
        {"optimizer": "sgd", "momentum": 0, "accumulate": 2, "augmentation": {"rand_ops": 2}},
        {"precision": "float16"},
        {"losses": {"queue_kl": 1, "neighbour": 1}, "queue_size": 20},
        pytest.param(
            {"sampling": "balanced", "class_weights": "effective", "image_px": [32, 24], "in_chans": 1},
            marks=pytest.mark.image_input(
                "Students",
                "a run with balanced sampling, class weights, grey or non-square input is stopped",
                "it resumes to the bit",
            ),
        ),
    ],
)
def test_run_resumed_in_mid_epoch_equals_uninterrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: dict[str, Any]
) -> None:
    monkeypatch.setattr("distill.training.setup.configured_student", with_dropout)
    config = small_config(epochs=3, **overrides)
    whole, steps = run(config)
    saves = SavedStates(tmp_path)
    first, _ = run(config, stop_at=2, save=saves)
    assert first is None
    torch.manual_seed(12345)  # other code may use the global random state in between
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


def test_finished_run_makes_no_more_steps(tmp_path: Path) -> None:
    saves = SavedStates(tmp_path)
    whole, _ = run(small_config(), save=saves)
    again, steps = run(small_config(), resume=saves.paths[-1])
    assert steps == []
    assert all(torch.equal(weights(again)[name], tensor) for name, tensor in weights(whole).items())


@pytest.mark.slow
def test_run_is_a_function_of_its_seed() -> None:
    one, same, other = (weights(run(small_config(seed=seed))[0]) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], tensor) for name, tensor in same.items())
    assert not all(torch.equal(one[name], tensor) for name, tensor in other.items())


@pytest.mark.slow
def test_student_learns_labels_and_teacher_features() -> None:
    _, steps = run(small_config(epochs=12, lr=3e-3))
    first, last = steps[0].losses, steps[-1].losses
    assert set(first) == {"cls", "mse", "im_cst"}
    assert last["cls"] < 0.2 * first["cls"]
    assert last["mse"] < 0.3 * first["mse"]


@pytest.mark.slow
def test_states_are_saved_by_epoch_by_time_and_on_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_time, on_stop, by_epoch, at_the_end = (SavedStates(tmp_path / name) for name in ("time", "stop", "epoch", "end"))
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


@pytest.mark.slow
def test_results_of_on_epoch_are_logged_once_and_do_not_change_the_weights(tmp_path: Path) -> None:
    def on_epoch(epoch: int, student: Student, context: torch.Tensor | None) -> dict[str, Any] | None:
        epochs.append(epoch)
        assert context is None
        student.model.eval()
        torch.manual_seed(99)
        return {"accuracy": {"id": epoch / 10}} if epoch > 1 else None

    epochs: list[int] = []
    plain, _ = run(small_config(epochs=3))
    whole, _ = run(small_config(epochs=3), on_epoch=on_epoch)
    assert epochs == [1, 2, 3]
    assert all(torch.equal(weights(plain)[name], tensor) for name, tensor in weights(whole).items())
    saves = SavedStates(tmp_path)
    run(small_config(epochs=3), stop_at=6, save=saves, on_epoch=on_epoch)
    resumed, _ = run(small_config(epochs=3), resume=saves.paths[-1], on_epoch=on_epoch)
    assert epochs == [1, 2, 3, 1, 2, 3]
    for result in (whole, resumed):
        assert result is not None
        found = [line for line in result.log if "accuracy" in line]
        assert found == [{"step": 3 * n, "epoch": n, "accuracy": {"id": n / 10}} for n in (2, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [{}, {"average": "ema", "ema_decay": 0.7, "average_from": 0.4}])
def test_copied_students_are_those_of_the_epoch_and_do_not_change_the_weights(overrides: dict[str, Any]) -> None:
    copies: dict[int, StudentNow] = {}

    def keep(epoch: int, copy_student: CopyStudent) -> None:
        torch.manual_seed(99)
        copies[epoch] = copy_student()
        copies[epoch].student.model(torch.zeros(2, 3, IMAGE_PX, IMAGE_PX))

    config = small_config(epochs=3, schedule="step", warmup=0, **overrides)
    plain, _ = run(config)
    kept = train(config, small_data(), hooks=TrainHooks(on_checkpoint=keep))
    assert [(epoch, one.step) for epoch, one in copies.items()] == [(1, 3), (2, 6), (3, 9)]
    for name, tensor in weights(plain).items():
        assert torch.equal(kept.student.model.state_dict()[name], tensor), name
        # With an average, these are the averages, as of the delivered student.
        assert torch.equal(copies[3].student.model.state_dict()[name], tensor), name
    assert any(
        not torch.equal(copies[1].student.model.state_dict()[name], tensor)
        for name, tensor in copies[2].student.model.state_dict().items()
    )
    assert not any(one.student.model.training for one in copies.values())


def test_should_stop_is_called_before_the_first_step() -> None:
    result, steps = run(small_config(), stop_at=0)
    assert (result, steps) == (None, [])


def test_terms_of_weight_zero_are_left_out_and_weights_are_applied() -> None:
    _, steps = run(small_config(losses={"cls": 0, "im_cst": 2.5}, epochs=1))
    assert set(steps[0].losses) == {"mse", "im_cst"}
    assert steps[0].loss == pytest.approx(steps[0].losses["mse"] + 2.5 * steps[0].losses["im_cst"])


@pytest.mark.parametrize("overrides", [{"mse_form": "unnormalised"}, {"im_cst_mode": "image_to_teacher"}])
def test_options_of_a_term_change_its_value(overrides: dict[str, Any]) -> None:
    _, usual = run(small_config(epochs=1))
    _, other = run(small_config(epochs=1, **overrides))
    assert usual[0].losses["cls"] == other[0].losses["cls"]
    assert usual[0].losses != other[0].losses


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_float32_weights(precision: str) -> None:
    result, steps = run(small_config(precision=precision))
    _, exact = run(small_config())
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in weights(result).values())
    assert steps[-1].step == 6
    assert steps[0].loss == pytest.approx(exact[0].loss, rel=0.02)
    assert steps[0].loss != exact[0].loss


def test_accumulated_gradients_of_mean_terms_equal_those_of_the_whole_batch() -> None:
    """A step at rate 1 shows the gradient. The student has no batch norm, whose statistics would differ by part."""
    config = small_config(**PLAIN_SGD, lr=1, batch_size=24, weight_decay=0, losses=MEAN_TERMS)
    whole, (of_whole,) = run(config)
    parts, (of_parts,) = run(variant(config, accumulate=4))
    assert of_parts.losses == pytest.approx(of_whole.losses, rel=1e-6)
    assert of_parts.loss == pytest.approx(of_whole.loss, rel=1e-6)
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], tensor, rtol=1e-4, atol=1e-6)


def test_contrastive_terms_use_the_negatives_of_their_part_of_the_batch() -> None:
    config = small_config(**PLAIN_SGD, batch_size=24, losses={"cls": 0, "mse": 0, "im_cst": 1})
    _, (of_whole,) = run(config)
    _, (of_parts,) = run(variant(config, accumulate=4))
    assert of_parts.loss < of_whole.loss


def test_result_has_averaged_weights_and_the_last_weights() -> None:
    config = small_config(average="mean", average_from=0.5)
    averaged, _ = run(config)
    last, _ = run(small_config())
    assert averaged is not None
    assert last is not None
    assert last.last is None
    assert averaged.last is not None
    assert all(torch.equal(averaged.last[name], tensor) for name, tensor in weights(last).items())
    assert not torch.equal(averaged.last["fc.weight"], weights(averaged)["fc.weight"])


@pytest.mark.slow
def test_compiled_student_has_the_same_weights_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[nn.Module] = []

    def compile_eagerly(module: nn.Module) -> object:
        calls.append(module)
        return compiled(module)

    compiled = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", compile_eagerly)
    plain, _ = run(small_config())
    assert calls == []
    saves = SavedStates(tmp_path)
    run(small_config(compile="on"), stop_at=2, save=saves)
    resumed, _ = run(small_config(compile="on"), resume=saves.paths[-1])
    assert len(calls) == 2
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(resumed)[name], tensor)


def test_non_finite_loss_stops_the_run_before_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(student: torch.Tensor, teacher: torch.Tensor, *, form: str) -> torch.Tensor:
        return (student - teacher).sum() * float("nan") if len(seen) == 3 else (student - teacher).square().mean()

    seen: list[StepMetrics] = []
    monkeypatch.setattr("distill.losses.feature_mse.feature_mse", broken)
    with pytest.raises(NonFiniteLoss, match="step 4: loss term mse is nan") as caught:
        train(small_config(), small_data(), hooks=TrainHooks(on_step=seen.append))
    assert (caught.value.step, caught.value.term) == (4, "mse")
    assert len(seen) == 3


def test_non_finite_gradient_stops_the_run_before_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(student: torch.Tensor, teacher: torch.Tensor, *, form: str) -> torch.Tensor:
        return (student * 0).sum().sqrt()  # 0 with an infinite gradient

    monkeypatch.setattr("distill.losses.feature_mse.feature_mse", broken)
    saves = SavedStates(tmp_path)
    seen: list[StepMetrics] = []
    with pytest.raises(NonFiniteLoss, match="step 1: the gradient is nan") as caught:
        train(
            small_config(accumulate=2, save_every_s=1e-6),
            small_data(),
            hooks=TrainHooks(on_step=seen.append, save=saves),
        )
    assert caught.value.term == "gradient"
    assert seen == saves.paths == []


@pytest.mark.slow
def test_float16_skips_overflowing_steps_but_reports_permanent_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def large(student: torch.Tensor, teacher: torch.Tensor, *, form: str) -> torch.Tensor:
        return (student - teacher).square().sum() * 100

    monkeypatch.setattr("distill.losses.feature_mse.feature_mse", large)
    losses = {"cls": 0, "mse": 1, "im_cst": 0}
    saves = SavedStates(tmp_path)
    run(small_config(precision="float16", losses=losses, epochs=5, save_every_s=1e-6), save=saves)
    heads = [load_file(path)["model/student.fc.weight"] for path in saves.paths]
    initial = build_student("test_resnet", width=WIDTH, image_px=IMAGE_PX, seed=0).model.state_dict()["fc.weight"]
    assert torch.equal(heads[0], initial)
    assert not torch.equal(heads[-1], initial)

    def broken(student: torch.Tensor, teacher: torch.Tensor, *, form: str) -> torch.Tensor:
        return (student * 0).sum().sqrt()

    monkeypatch.setattr("distill.losses.feature_mse.feature_mse", broken)
    with pytest.raises(NonFiniteLoss, match="step 18: the gradient is inf"):
        run(small_config(precision="float16", losses=losses, epochs=20))


def test_training_loop_is_short() -> None:
    assert len(inspect.getsource(train).splitlines()) <= 50
    assert len(inspect.getsource(training_step).splitlines()) <= 35


def test_projector_and_moving_average_resume_to_the_bit_and_are_not_delivered(tmp_path: Path) -> None:
    config = small_config(losses={"ema_mse": 2.0}, projector="mlp", ema_decay=0.5, average="mean", accumulate=2)
    whole, steps = run(config)
    assert whole is not None
    assert steps[0].losses["ema_mse"] == pytest.approx(0, abs=1e-6)
    assert steps[-1].losses["ema_mse"] > 1e-4
    states = SavedStates(tmp_path)
    assert run(config, stop_at=4, save=states)[0] is None
    resumed, _ = run(config, resume=states.paths[-1])
    assert weights(whole).keys() == weights(run(small_config())[0]).keys()
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_the_moving_average_leaves_the_statistics_of_the_student_alone() -> None:
    plain, averaged = (run(small_config(losses={"ema_mse": weight}))[0] for weight in (0.0, 1e-12))
    for name, tensor in weights(plain).items():
        torch.testing.assert_close(weights(averaged)[name], tensor, atol=1e-4, rtol=1e-3)
