"""Tensors are read from every format of weights by their content; other files are refused in one plain line."""

import argparse
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from distill.teacher.errors import TeacherError
from distill.teacher.weights.files import WeightsFiles
from distill.teacher.weights.reading import read_weights

STATE = {"logit_scale": torch.tensor(1.5), "visual.proj": torch.arange(6.0).reshape(2, 3)}
REF = "ViT-B-32:weights.pt"
given = pytest.mark.image_input


def _saved(value: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def _prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


EPOCH = {
    "epoch": 3,
    "name": "2026_11_30-model_ViT-B-32-lr_0.0005",
    "state_dict": _prefixed("module."),
    "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]},
    "scaler": {"scale": 65536.0, "_growth_tracker": 0},
}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            _saved(EPOCH), id="epoch", marks=given("Teachers", "`epoch_N.pt` of open_clip's training", "its state dict")
        ),
        pytest.param(_saved(STATE), id="plain", marks=given("Teachers", "a plain state dict", "read as tensors only")),
        pytest.param(
            _saved(STATE, _use_new_zipfile_serialization=False),
            id="old",
            marks=given("Teachers", "the older format of `torch.save`", "read as tensors only"),
        ),
        pytest.param(
            save(STATE), id="safetensors", marks=given("Teachers", "safetensors under any file name", "read by content")
        ),
        pytest.param(_saved({"model": _prefixed("_orig_mod.")}), id="compiled"),
        pytest.param(
            _saved({"state_dict": _prefixed("model."), "hyper_parameters": {"lr": 0.1}}),
            id="lightning",
            marks=given("Teachers", "names with `module.`, `_orig_mod.`, `model.`", "the prefix is removed"),
        ),
        pytest.param(_saved({"step": 7, "ema": STATE}), id="only-entry"),
        pytest.param(_saved({"model_state_dict": STATE, "ema": {"logit_scale": torch.zeros(())}}), id="beside-ema"),
        pytest.param(_saved({**STATE, "input_resolution": 224}), id="number"),
        pytest.param(
            _saved({"state_dict": STATE, "args": argparse.Namespace(lr=0.1)}),
            id="namespace",
            marks=given("Teachers", "a checkpoint beside the arguments of its training (argparse)", "its state dict"),
        ),
    ],
)
def test_formats_of_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    state = read_weights(REF, WeightsFiles.of_file(path))
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in STATE.items())


def _damaged(content: bytes) -> bytes:
    return content[: len(content) * 2 // 3]


REFUSED = {
    "empty": (b"", "is empty", "an empty file of weights", "refused: copy it again"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull", "a pointer of Git LFS", ""),
    "html": (b"\n<!DOCTYPE html><html></html>", "is a web page", "a web page saved as weights", ""),
    "gzip": (b"\x1f\x8b\x08\x00abc", "unpack it", "", ""),
    "zeros": (bytes(4096), "only zero bytes", "a file of zero bytes", ""),
    "text": (b"hello there, this is text", "is no file of weights", "another kind of file as weights", ""),
    "zip-cut": (_damaged(_saved(STATE)), "damaged or truncated", "truncated weights", "refused: copy it again"),
    "old-cut": (_damaged(_saved(STATE, _use_new_zipfile_serialization=False)), "damaged", "", ""),
    "safetensors-cut": (_damaged(save(STATE)), "damaged or truncated", "", ""),
    "zip-other": (_zip("a/readme.txt"), "zip archive without weights", "a zip archive of other files as weights", ""),
    "torchscript": (
        _zip("clip/code/__torch__.py", "clip/constants.pkl", "clip/data.pkl"),
        "torch.jit.load(FILE).state_dict()",
        "OpenAI's TorchScript archive",
        "refused: it holds code; the tag `openai` or its state dict",
    ),
    "code": (
        _saved({"state_dict": STATE, "run": print}),
        "holds a Python object (print)",
        "a pickle that would run code",
        "refused, and not run",
    ),
    "numpy": (
        _saved({"state_dict": STATE, "best": np.float64(0.5)}),
        "Python object (numpy",
        "a checkpoint with numbers of numpy or other Python objects",
        "refused, with the way to keep its state dict",
    ),
    "model": (
        _saved(torch.nn.Linear(1, 1)),
        "Python object (torch.nn.modules.linear.Linear)",
        "a whole model saved by `torch.save`",
        "refused: save its state dict",
    ),
    "list": (_saved([torch.ones(1)]), "holds a list, not a state dict", "", ""),
    "no-state": (_saved({"epoch": 1, "lr": [0.1]}), 'its entries: "epoch", "lr"', "a checkpoint without weights", ""),
    "two-states": (_saved({"student": STATE, "teacher": STATE}), 'its entries: "student", "teacher"', "", ""),
}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(
            content,
            reason,
            id=name,
            marks=given("Teachers", case, handling or "refused, with the reason in one line") if case else (),
        )
        for name, (content, reason, case, handling) in REFUSED.items()
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    message = _refusal(path)
    assert reason in message
    assert message.startswith(f"weights.pt of {REF} ")
    assert not re.search(r"[\r\n]|<_io|0x[0-9a-f]{6}|WeightsUnpickler|deserializing", message)


def _refusal(path: Path) -> str:
    with pytest.raises(TeacherError) as caught:
        read_weights(REF, WeightsFiles.of_file(path))
    assert caught.value.code == "teacher_incomplete"
    return str(caught.value)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Run:
        def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
            return Path.touch, (tmp_path / "was-run",)

    (tmp_path / "weights.pt").write_bytes(_saved({"state_dict": STATE, "run": Run()}))
    assert "could run code" in _refusal(tmp_path / "weights.pt")
    assert not (tmp_path / "was-run").exists()


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    assert "Is a directory" in _refusal(tmp_path)
