"""Files of weights: nested and prefixed state dicts, refusals in one line, and how weights do not fit."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from distill.state_dicts import WeightsError, misfit, not_plain, read_weights, without_prefix


def weights() -> dict[str, Tensor]:
    return {"conv.weight": torch.randn(2, 3), "conv.bias": torch.randn(2)}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.image_input("Students", "own weights as safetensors, .pth, .pt, .bin, .ckpt or .pth.tar", "read")
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.pt", "w.bin", "w.ckpt", "w.pth.tar"])
def test_each_kind_of_file_is_read(tmp_path: Path, name: str) -> None:
    state = weights()
    save = save_file if name.endswith(".safetensors") else torch.save
    save(state, str(tmp_path / name))
    assert equal(read_weights(tmp_path / name), state)


@pytest.mark.image_input(
    "Students",
    "a training checkpoint (`state_dict`, `model`, `state_dict_ema`, `model_ema`, `module.`, `_orig_mod.`)",
    "the weights in it; the averaged ones if there are both",
)
@pytest.mark.parametrize("place", ["state_dict", "model", "state_dict_ema", "model_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod."])
def test_nested_weights_are_found(tmp_path: Path, place: str, prefix: str) -> None:
    state, other = weights(), weights()
    checkpoint: dict[str, Any] = {"model": other} if place.endswith("_ema") else {}
    checkpoint |= {"epoch": 3, "args": argparse.Namespace(lr=0.1), place: {prefix + k: v for k, v in state.items()}}
    torch.save(checkpoint, tmp_path / "w.pth")
    assert equal(read_weights(tmp_path / "w.pth"), state)


@pytest.mark.image_input(
    "Students",
    "a training checkpoint with one state dict under any name, or with numbers beside tensors",
    "its tensors",
)
def test_the_only_state_dict_is_found(tmp_path: Path, subtests: pytest.Subtests) -> None:
    state = weights()
    checkpoints: dict[str, Any] = {
        "other-name": {"epoch": 3, "net": {f"module.{k}": v for k, v in state.items()}, "optimizer": {"state": {}}},
        "nested": {"checkpoint": {"weights": state}, "metric": 0.5},
        "average": {"model": {}, "model_ema": {"decay": 0.9, "module": state}},
        "number": {**state, "epoch": 3, "arch": "resnet18"},
    }
    for name, checkpoint in checkpoints.items():
        with subtests.test(name=name):
            torch.save(checkpoint, tmp_path / "w.pth")
            assert equal(read_weights(tmp_path / "w.pth"), state)
    torch.save({**state, "conv.weight": state["conv.weight"].to("meta")}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth")["conv.weight"].is_meta
    torch.save({"student": state, "teacher": state}, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"no weights by name \(student, teacher\): save the state dict"):
        read_weights(tmp_path / "w.pth")


class Harmful:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("harmful-code-was-run"),))


@pytest.mark.image_input(
    "Students",
    "weights that are damaged, empty, a Git LFS pointer, a web page, not finite, or pickled Python objects",
    "refused in one line with the fix; no pickled code is run",
)
def test_what_holds_no_weights_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(weights(), "good.pth")
    save_file(weights(), "good.safetensors")
    Path("cut.pth").write_bytes(Path("good.pth").read_bytes()[:300])
    Path("cut.safetensors").write_bytes(Path("good.safetensors").read_bytes()[:-8])
    Path("empty.pth").touch()
    Path("noise.safetensors").write_bytes(b"\xff" * 100)
    Path("noise.pth").write_bytes(bytes(range(256)))
    Path("pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    Path("page.pth").write_text("\n<!DOCTYPE html><title>Sign in</title>")
    Path("weights.npz").write_bytes(b"PK")
    torch.save(nn.Linear(2, 2), "module.pth")
    torch.save({"model": Harmful()}, "harmful.pth")
    torch.save([1, 2], "list.pth")
    torch.save({"epoch": 1}, "none.pth")
    torch.save({"conv.weight": torch.tensor([1.0, float("nan")])}, "nan.pth")
    reasons = {
        "missing.pth": "there is no file",
        "cut.pth": "damaged, or no file of weights",
        "cut.safetensors": "damaged or truncated: copy it again",
        "empty.pth": "is empty",
        "noise.safetensors": "damaged or truncated",
        "noise.pth": "damaged, or no file of weights",
        "pointer.safetensors": "run git lfs pull",
        "page.pth": "is a web page",
        "weights.npz": "no kind of weights that is read",
        "module.pth": "Python objects besides tensors",
        "harmful.pth": "Python objects besides tensors",
        "list.pth": "no weights by name",
        "none.pth": "no weights by name",
        "nan.pth": "values of conv.weight that are not finite",
    }
    for name, reason in reasons.items():
        with subtests.test(name=name):
            with pytest.raises(WeightsError, match=reason) as raised:
                read_weights(Path(name))
            assert str(raised.value).startswith((name, "there is"))
            assert "\n" not in str(raised.value)
            assert " at 0x" not in str(raised.value)
    assert not Path("harmful-code-was-run").exists()


@pytest.mark.image_input(
    "Students", "own weights that are quantised, complex, sparse or without values", "refused: give plain weights"
)
def test_tensors_that_are_no_plain_numbers_are_named() -> None:
    state = {**weights(), "steps": torch.tensor(3)}
    assert not_plain(state, {**state, "steps": torch.tensor(3.0), "conv.weight": state["conv.weight"].half()}) == ""
    for changed, reason in (
        (state["conv.weight"].to(torch.int8), "int8: give unquantised weights"),
        (state["conv.weight"].to(torch.complex64), "complex64: give unquantised weights"),
        (state["conv.weight"].to_sparse(), "sparse: give dense weights"),
        (state["conv.weight"].to("meta"), "without values: give dense weights"),
    ):
        assert not_plain(state, {**state, "conv.weight": changed}) == f"tensor conv.weight is {reason}"


def test_misfit_counts_names_and_shapes() -> None:
    state = weights()
    assert misfit(state, state) == ""
    changed = {"conv.weight": torch.zeros(2, 4), "head.bias": torch.zeros(())}
    assert misfit(state, changed) == (
        "1 tensor is missing (first conv.bias), 1 tensor is unexpected (first head.bias), "
        "1 tensor is of another shape (first conv.weight: 2×4 instead of 2×3)"
    )
    assert misfit(state, {}) == "2 tensors are missing (first conv.weight)"


def test_a_prefix_is_removed_only_if_that_leads_to_the_names_of_the_model() -> None:
    state = weights()
    for prefix in ("model.", "net.backbone."):
        assert equal(without_prefix({prefix + name: tensor for name, tensor in state.items()}, state), state)
    assert equal(without_prefix(state, state), state)
    foreign = {"model.other": torch.zeros(1)}
    assert without_prefix(foreign, state).keys() == foreign.keys()
    mixed = {"model.conv.weight": torch.zeros(1), "loss.weight": torch.zeros(1)}
    assert without_prefix(mixed, state).keys() == mixed.keys()
