"""The graph with preprocessing inside prepares pictures as timm's transform does, and scores as the student does.

Its encoder here returns the prepared pixels themselves, so that every pixel is compared.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import timm
import torch
from onnx import TensorProto, helper
from PIL import Image

from distill.bundle.onnx.graphs import OPSET, export, saved, with_preprocessing
from distill.bundle.verify import BundleError
from distill.json_types import StudentPreprocess

TEMPERATURE = 0.07
Preprocess = Callable[..., StudentPreprocess]


def preprocess(**changes: Any) -> StudentPreprocess:
    given: dict[str, Any] = {
        "size": [32, 32],
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.25],
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "crop_pct": 1.0,
    }
    whole: StudentPreprocess = {**given, **changes}  # type: ignore[typeddict-item]
    return whole


def pixels_as_embedding(given: StudentPreprocess) -> onnx.ModelProto:
    """An encoder whose embedding is its input in one row."""
    channels, (height, width) = len(given["mean"]), given["size"]
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["embedding"])],
        "pixels",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", channels, height, width])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", channels * height * width])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def run(given: StudentPreprocess, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What the graph prepares from two copies of a picture, (C, P, Q)."""
    width = len(given["mean"]) * given["size"][0] * given["size"][1]
    graph = with_preprocessing(
        pixels_as_embedding(given), given, np.eye(3, width, dtype=np.float32), temperature=TEMPERATURE
    )
    session = onnxruntime.InferenceSession(saved(graph), providers=["CPUExecutionProvider"])
    first, second = session.run(["embedding"], {"image": np.stack([picture, picture])})[0]
    assert np.array_equal(first, second)
    prepared: npt.NDArray[np.float32] = first.reshape(len(given["mean"]), *given["size"])
    return prepared


def transformed(given: StudentPreprocess, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    transform = timm.data.create_transform(
        input_size=(len(given["mean"]), *given["size"]),
        mean=given["mean"],
        std=given["std"],
        interpolation=given["interpolation"],
        crop_pct=given["crop_pct"],
        crop_mode="squash" if given["resize_mode"] == "squash" else "center",
    )
    prepared: npt.NDArray[np.float32] = transform(Image.fromarray(picture).convert(given.get("mode", "RGB"))).numpy()
    return prepared


def noise(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Independent pixels, of which every error of a resize shows."""
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


WIDE = [(32, 32), (51, 70), (11, 20), (33, 400), (640, 901)]
"""Equal, larger, smaller, extremely wide, and a picture of a camera."""
TALL = [(71, 51), (20, 11), (1401, 640)]
"""Pillow 13 resizes such pictures vertically first, and rounds after each of both steps."""


@pytest.mark.parametrize(
    "given",
    [
        preprocess(),
        preprocess(size=[40, 24], crop_pct=0.875),
        preprocess(mean=[0.45], std=[0.25], mode="L", crop_pct=0.9),
        preprocess(resize_mode="shortest", crop_pct=0.875),
        preprocess(interpolation="bilinear"),
    ],
    ids=["squash", "crop", "grey", "shortest side", "bilinear"],
)
def test_pictures_are_prepared_as_by_timm(given: StudentPreprocess) -> None:
    for height, width in (*WIDE, *TALL):
        picture = noise(height, width)
        found, expected = run(given, picture), transformed(given, picture)
        levels = np.abs(found - expected) * np.reshape(given["std"], (-1, 1, 1)) * 255
        is_tall = (height, width) in TALL
        assert levels.max() < (2.01 if is_tall else 1.01), (height, width)
        assert (levels > 0.01).mean() < (0.3 if is_tall else 0.002), (height, width)


@pytest.mark.parametrize("size", [*WIDE, *TALL])
def test_a_picture_that_is_not_noise_is_as_good_as_equal(size: tuple[int, int]) -> None:
    coarse = Image.fromarray(noise(5, 7)).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    found, expected = run(preprocess(), np.asarray(coarse)), transformed(preprocess(), np.asarray(coarse))
    cosine = (found * expected).sum() / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.99999


def test_scores_are_the_softmax_over_the_labels() -> None:
    given, random = preprocess(size=[2, 2]), np.random.default_rng(0)
    targets = random.normal(size=(5, 12)).astype(np.float32)
    graph = with_preprocessing(pixels_as_embedding(given), given, targets, temperature=TEMPERATURE)
    session = onnxruntime.InferenceSession(saved(graph), providers=["CPUExecutionProvider"])
    scores, embedding = session.run(["scores", "embedding"], {"image": noise(2, 2)[None]})
    expected = torch.softmax(torch.from_numpy(embedding @ targets.T) / TEMPERATURE, dim=1)
    torch.testing.assert_close(torch.from_numpy(scores), expected)
    assert [(value.name, [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim])
            for value in graph.graph.input] == [("image", ["batch", "height", "width", 3])]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpolation": "lanczos"}, "no interpolation lanczos"),
        ({"resize_mode": "shortest", "size": [32, 40]}, "the shorter side to 32 x 40"),
    ],
)
def test_a_resize_that_onnx_lacks_is_refused(changes: dict[str, Any], message: str) -> None:
    given = preprocess(**changes)
    width = 3 * given["size"][0] * given["size"][1]
    with pytest.raises(BundleError, match=message):
        with_preprocessing(pixels_as_embedding(given), given, np.eye(2, width, dtype=np.float32), temperature=1)


def test_a_model_that_torch_cannot_export_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Failed to convert") from NotImplementedError("no ONNX function for linalg_svd")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(BundleError, match="torch cannot export it to ONNX .no ONNX function for linalg_svd."):
        export(torch.nn.Identity(), torch.ones(2, 3), name="image")
