"""ONNX files of a student: they agree with torch, their bytes are reproducible, and what fails is left out."""

import errno
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from PIL import Image

from distill.bundle.onnx import files as onnx_files
from distill.bundle.onnx import int8 as onnx_int8
from distill.bundle.onnx.files import Encode, OnnxInputs, write_onnx
from distill.bundle.optional_parts import OptionalParts
from distill.bundle.student_files import StudentWeights
from tests.distill.bundle.test_write import student_weights

LABELS = ("crane", "heron", "blue jay")
FULL_DISK = OSError(errno.ENOSPC, "No space left on device")


class Written(NamedTuple):
    """A folder with ONNX files, and what they were made from."""

    folder: Path
    student: StudentWeights
    model: torch.nn.Module
    targets: torch.Tensor
    parts: OptionalParts
    encoder: onnx.ModelProto
    accuracy: Any


def measure(encoders: Mapping[str, Encode]) -> dict[str, Any]:
    """An accuracy of each encoder, which shows that it was run."""
    images = np.zeros((1, 3, 32, 32), np.float32)
    assert all(encode(images).shape == (1, 32) for encode in encoders.values())
    return {"id": {"float32": 0.75, "int8": 0.5, "num_images": 4}}


def inputs(student: StudentWeights, **changes: Any) -> OnnxInputs:
    given = {
        "temperature": 0.1,
        "templates": ("a photo of {}",),
        "calibration": lambda: [student.noise().numpy()],
        "measure": measure,
    }
    return OnnxInputs(**{**given, **changes})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    student = student_weights("test_resnet", 32)
    model, folder = student.model(), tmp_path_factory.mktemp("bundle")
    targets = torch.nn.functional.normalize(torch.randn(3, 32, generator=torch.Generator().manual_seed(0)), dim=-1)
    parts = OptionalParts(folder, {})
    accuracy = write_onnx(folder / "onnx", parts, student, model, targets, LABELS, inputs(student))
    encoder = onnx.load(folder / "onnx/image.onnx")
    return Written(folder / "onnx", student, model, targets, parts, encoder, accuracy)


@pytest.fixture
def write(written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OptionalParts]:
    """`write(skip=(), **changes)`: the files again in `tmp_path`, without the export by torch, which takes seconds."""
    monkeypatch.setattr(onnx_files, "image_encoder", lambda *_: written.encoder)

    def write(skip: tuple[str, ...] = (), **changes: Any) -> OptionalParts:
        parts = OptionalParts(tmp_path, dict.fromkeys(skip, "not for this test"))
        given = inputs(written.student, **changes)
        write_onnx(tmp_path / "onnx", parts, written.student, written.model, written.targets, LABELS, given)
        return parts

    return write


def run(path: Path, given: Any) -> list[Any]:
    outputs: list[Any] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(
        None, {"image": given}
    )
    return outputs


def features_of(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.nn.functional.normalize(model(images), dim=-1)


@pytest.mark.slow
@pytest.mark.parametrize("num_images", [1, 2, 5])
def test_the_encoder_agrees_with_torch_for_any_number_of_images(written: Written, num_images: int) -> None:
    images = torch.randn(num_images, 3, 32, 32)
    (embedding,) = run(written.folder / "image.onnx", images.numpy())
    torch.testing.assert_close(torch.from_numpy(embedding), features_of(written.model, images), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_a_picture_gets_the_scores_of_timm_and_torch(written: Written) -> None:
    random, student = np.random.default_rng(0), written.student
    pixels = random.integers(0, 256, (90, 61, 3), dtype=np.uint8)
    given = student.preprocess
    transform = timm.data.create_transform(
        input_size=(3, 32, 32), mean=given["mean"], std=given["std"], interpolation="bicubic", crop_mode="squash",
        crop_pct=1.0,
    )  # fmt: skip
    features = features_of(written.model, transform(Image.fromarray(pixels))[None])
    scores, embedding = run(written.folder / "image-uint8.onnx", pixels[None])
    assert float((torch.from_numpy(embedding) * features).sum()) > 0.9999
    expected = torch.softmax(features @ written.targets.T / 0.1, dim=1)
    torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-3, rtol=0)


@pytest.mark.slow
def test_the_int8_encoder_is_small_close_and_measured(written: Written) -> None:
    images = torch.randn(8, 3, 32, 32)
    (embedding,) = run(written.folder / "image-int8.onnx", images.numpy())
    assert float((torch.from_numpy(embedding) * features_of(written.model, images)).sum(dim=1).min()) > 0.99
    sizes = {path.name: path.stat().st_size for path in written.folder.glob("*.onnx")}
    assert sizes["image-int8.onnx"] < sizes["image.onnx"] / 3
    assert written.accuracy["id"] == {"float32": 0.75, "int8": 0.5, "num_images": 4}
    assert (written.accuracy["method"], written.accuracy["num_calibration_images"]) == ("static", 2)


@pytest.mark.slow
def test_the_config_says_what_a_program_without_the_bundle_must_know(written: Written) -> None:
    config = json.loads((written.folder / "config.json").read_text())
    assert (config["format"], config["labels"], config["temperature"]) == ("limbeck onnx 1", list(LABELS), 0.1)
    assert config["preprocess"]["size"] == [32, 32]
    assert (config["preprocess"]["mode"], config["preprocess"]["crop_mode"]) == ("RGB", "squash")
    assert (config["text"], config["int8"]) == (None, written.accuracy)


@pytest.mark.slow
def test_no_file_names_a_path_of_this_machine(written: Written) -> None:
    for path in written.folder.iterdir():
        data = path.read_bytes()
        assert b"site-packages" not in data
        assert b"/distill/" not in data


@pytest.mark.nightly
def test_a_second_export_gives_the_same_bytes(written: Written, tmp_path: Path) -> None:
    write_onnx(tmp_path, OptionalParts(tmp_path, {}), *written[1:4], LABELS, inputs(written.student))
    for path in written.folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.slow
def test_a_file_that_fails_leaves_the_others(
    write: Callable[..., OptionalParts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(onnx_files, "quantised", raising(RuntimeError("no such operator")))
    monkeypatch.setattr(onnx_files, "with_preprocessing", raising(FULL_DISK))
    parts = write()
    assert parts.left_out == {"image-int8.onnx": "no such operator", "image-uint8.onnx": str(FULL_DISK)}
    assert {path.name for path in (tmp_path / "onnx").iterdir()} == {"config.json", "image.onnx"}


@pytest.mark.slow
def test_a_full_disk_leaves_no_folder(
    write: Callable[..., OptionalParts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(onnx_files, "write_config", raising(FULL_DISK))
    assert "onnx" in write(skip=("image-int8.onnx", "image-uint8.onnx")).left_out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_graph_that_differs_from_torch_is_left_out(
    written: Written, write: Callable[..., OptionalParts], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(written.encoder)
    weight = next(one for one in changed.graph.initializer if one.name.endswith("fc.weight"))
    weight.raw_data = weight.raw_data[::-1]
    monkeypatch.setattr(onnx_files, "image_encoder", lambda *_: changed)
    parts = write()
    assert list(parts.left_out) == ["onnx"]
    assert "image.onnx differs from torch: cosine" in parts.left_out["onnx"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
def test_a_transformer_is_quantised_dynamically(tmp_path: Path) -> None:
    student = student_weights("test_vit", 32, img_size=32)
    parts, targets = OptionalParts(tmp_path, {}), torch.eye(3, 32)
    given = inputs(student)
    accuracy = write_onnx(tmp_path / "onnx", parts, student, student.model(), targets, LABELS, given)
    assert parts.left_out == {}
    assert accuracy is not None
    assert (accuracy["method"], accuracy["mean_cosine"] > 0.99) == ("dynamic", True)
    operators = {node.op_type for node in onnx.load(tmp_path / "onnx/image-int8.onnx").graph.node}
    assert "MatMulInteger" in operators
    assert onnx_int8.method_of(onnx.load(tmp_path / "onnx/image.onnx")) == "dynamic"
