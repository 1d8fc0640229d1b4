"""ONNX graphs of a student: its image encoder, and the same with preprocessing and text targets inside.

`image_encoder` exports a timm model with `torch.onnx.export`. `with_preprocessing` puts the steps of timm's evaluation
transform before an encoder, and the softmax over labels after it. Pillow's resize, with which the student was trained,
is ONNX's `Resize` of uint8 with antialias, a = -0.5 and `exclude_outside`. ONNX Runtime's result differs from Pillow's
by at most one grey level, in less than 2 of 1,000 values. In tall pictures it is every fourth value, by up to two
levels: Pillow 13 resizes them vertically first, ONNX Runtime horizontally, and both round after each step.
B images, C channels, H, W height and width of the pictures, S, T of the resized ones, P, Q of the student's input;
K labels, D embedding width.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, compose, helper, numpy_helper
from torch import Tensor

from distill.bundle.verify import BundleError
from distill.json_types import StudentPreprocess

OPSET = 20
MAX_BYTES = 2**31 - 1
"""The most that a protobuf file can hold."""

# Pillow's conversion of RGB to grey: (19595 R + 38470 G + 7471 B + 32768) >> 16.
LUMA = (19595, 38470, 7471)
_RESIZE_MODES: Mapping[str, Mapping[str, Any]] = {
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5},
    "bilinear": {"mode": "linear"},
}


class _Normalised(torch.nn.Module):
    """A model with L2-normalised output."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        features: Tensor = torch.nn.functional.normalize(self.model(image), dim=-1)
        return features


def image_encoder(model: torch.nn.Module, example: Tensor) -> onnx.ModelProto:
    """The graph of `model` from `image` (B, C, P, Q) to `embedding` (B, D), L2-normalised, for any B.

    `model`: in evaluation mode on the CPU. `example`: two images. Raises BundleError for a model that cannot be
    exported.
    """
    return export(_Normalised(model).eval(), example, name="image")


def export(module: torch.nn.Module, example: Tensor, *, name: str) -> onnx.ModelProto:
    """The graph of a module from the input `name` to `embedding`, whose first dimension is free. Raises BundleError."""
    with torch.no_grad(), _quiet(), torch.random.fork_rng(devices=[]):
        try:
            program = torch.onnx.export(
                module,
                (example,),
                input_names=["limbeck.input"],
                output_names=["limbeck.output"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # the exporter raises any kind of error for an operation that it does not know
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise BundleError(f"torch cannot export it to ONNX ({reason})") from error
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    if graph.ByteSize() > MAX_BYTES:
        raise BundleError(f"it has {graph.ByteSize() / 1e9:.1f} GB, and an ONNX file holds at most 2 GB")
    return _without_notes(_renamed(graph, {"limbeck.input": name, "limbeck.output": "embedding"}))


def _renamed(graph: onnx.ModelProto, names: Mapping[str, str]) -> onnx.ModelProto:
    """The graph with new names of values. A value inside that torch gave such a name gets another."""
    inside = {new: f"{new}.inside" for new in names.values()}
    for node in graph.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(value, inside.get(value, value)) for value in values]
    for entries in (graph.graph.input, graph.graph.output, graph.graph.value_info, graph.graph.initializer):
        for entry in entries:
            entry.name = names.get(entry.name, inside.get(entry.name, entry.name))
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the warnings and messages of the exporter, which are for its developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _without_notes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without the exporter's notes, which name files of this machine."""
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    graph.doc_string = graph.graph.doc_string = ""
    for entries in (graph.graph.node, graph.graph.value_info, graph.graph.initializer, graph.graph.input):
        for entry in entries:
            del entry.metadata_props[:]
            entry.doc_string = ""
    for value in graph.graph.output:
        del value.metadata_props[:]
        value.doc_string = ""
    return graph


def saved(graph: onnx.ModelProto) -> bytes:
    """The bytes of a graph, equal for equal graphs. Raises BundleError if the graph is not valid or too large."""
    if graph.ByteSize() > MAX_BYTES:
        raise BundleError(f"it has {graph.ByteSize() / 1e9:.1f} GB, and an ONNX file holds at most 2 GB")
    try:
        onnx.checker.check_model(graph)
    except onnx.checker.ValidationError as error:
        raise BundleError(f"the ONNX graph is not valid: {error}") from error
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def with_preprocessing(
    encoder: onnx.ModelProto, preprocess: StudentPreprocess, targets: npt.NDArray[np.float32], *, temperature: float
) -> onnx.ModelProto:
    """The graph from `image` (B, H, W, 3), uint8 RGB, to `scores` (B, K) and `embedding` (B, D).

    `encoder`: as of `image_encoder`. `targets`: (K, D), L2-normalised. The scores are the softmax of the cosines over
    `temperature`. Raises BundleError for a resize that ONNX does not have.
    """
    steps = _Steps()
    _prepare(steps, preprocess)
    front = steps.model(
        encoder,
        "preprocess",
        inputs=[helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", "height", "width", 3])],
        outputs=[
            helper.make_tensor_value_info(
                "prepared", TensorProto.FLOAT, ["batch", len(preprocess["mean"]), *preprocess["size"]]
            )
        ],
    )
    inner = compose.add_prefix(encoder, "encoder.", rename_nodes=True)
    back = _scores(encoder, targets, temperature)
    joined = compose.merge_models(front, inner, io_map=[("prepared", "encoder.image")])
    joined = compose.merge_models(joined, back, io_map=[("encoder.embedding", "features")], name="student")
    joined.producer_name, joined.producer_version = encoder.producer_name, encoder.producer_version
    return joined


def _scores(encoder: onnx.ModelProto, targets: npt.NDArray[np.float32], temperature: float) -> onnx.ModelProto:
    """The graph from `features` (B, D) to `scores` (B, K), and to the same features as `embedding`."""
    num_labels, width = targets.shape
    steps = _Steps()
    texts = steps.constant("text_targets", np.ascontiguousarray(targets.T))  # (D, K)
    cosines = steps.node("MatMul", ["features", texts], "cosines")
    logits = steps.node("Div", [cosines, steps.constant("temperature", np.float32(temperature))], "logits")
    steps.node("Softmax", [logits], "scores", axis=1)
    steps.node("Identity", ["features"], "embedding")
    return steps.model(
        encoder,
        "scores",
        inputs=[helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", width])],
        outputs=[
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", num_labels]),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", width]),
        ],
    )


def _prepare(steps: "_Steps", preprocess: StudentPreprocess) -> None:
    """Nodes from `image` (B, H, W, 3) to `prepared` (B, C, P, Q), as timm's evaluation transform."""
    pixels = steps.node("Transpose", ["image"], "channels_first", perm=[0, 3, 1, 2])  # (B, 3, H, W)
    if preprocess.get("mode", "RGB") == "L":
        pixels = _grey(steps, pixels)  # (B, 1, H, W)
    height, width = preprocess["size"]
    whole = [math.floor(side / preprocess["crop_pct"]) for side in (height, width)]  # (S, T)
    resized = _resize(steps, pixels, preprocess, whole)  # (B, C, S, T), or larger on one side
    cropped = _center_crop(steps, resized, preprocess, whole)  # (B, C, P, Q)
    values = steps.node("Cast", [cropped], "values", to=TensorProto.FLOAT)
    shape = (1, -1, 1, 1)
    mean, std = (np.array(preprocess[name], np.float32).reshape(shape) * 255 for name in ("mean", "std"))
    centred = steps.node("Sub", [values, steps.constant("mean", mean)], "centred")
    steps.node("Div", [centred, steps.constant("std", std)], "prepared")


def _grey(steps: "_Steps", pixels: str) -> str:
    """Pillow's mode L of RGB."""
    whole = steps.node("Cast", [pixels], "rgb", to=TensorProto.INT32)
    weights = steps.constant("luma", np.array(LUMA, np.int32).reshape(1, 3, 1, 1))
    axes = steps.constant("channel_axis", np.array([1], np.int64))
    total = steps.node("ReduceSum", [steps.node("Mul", [whole, weights], "weighted"), axes], "sum", keepdims=1)
    rounded = steps.node("Add", [total, steps.constant("half", np.int32(32768))], "rounded")
    luma = steps.node("Div", [rounded, steps.constant("scale", np.int32(65536))], "grey")
    return steps.node("Cast", [luma], "grey_pixels", to=TensorProto.UINT8)


def _resize(steps: "_Steps", pixels: str, preprocess: StudentPreprocess, whole: Sequence[int]) -> str:
    """The picture squashed to `whole`, or with its shorter side at `whole`."""
    mode = _RESIZE_MODES.get(preprocess["interpolation"])
    if mode is None:
        raise BundleError(f"ONNX has no interpolation {preprocess['interpolation']} that equals Pillow's")
    if preprocess["resize_mode"] == "squash":
        size = steps.constant("resized_size", np.array(whole, np.int64))
    elif whole[0] == whole[1]:
        size = _shortest_side(steps, pixels, whole[0])
    else:
        raise BundleError(f"resizing the shorter side to {whole[0]} x {whole[1]} has no ONNX graph")
    kept = steps.node("Shape", [pixels], "batch_and_channels", end=2)
    return steps.node(
        "Resize",
        [pixels, "", "", steps.node("Concat", [kept, size], "resized_shape", axis=0)],
        "resized",
        antialias=1,
        exclude_outside=1,
        coordinate_transformation_mode="half_pixel",
        **mode,
    )


def _shortest_side(steps: "_Steps", pixels: str, side_px: int) -> str:
    """Height and width of the resized picture, as torchvision's Resize computes them: int(side * long / short)."""
    shape = steps.node("Shape", [pixels], "picture_size", start=2)  # [H, W]
    zero = steps.constant("first_axis", np.array([0], np.int64))
    short = steps.node("ReduceMin", [shape, zero], "short_side", keepdims=1)
    scaled = steps.node("Mul", [shape, steps.constant("side", np.array([side_px], np.int64))], "scaled_size")
    return steps.node("Div", [scaled, short], "resized_size")  # integers: rounded down


def _center_crop(steps: "_Steps", resized: str, preprocess: StudentPreprocess, whole: Sequence[int]) -> str:
    """The centre, as torchvision's CenterCrop places it: int(round((S - P) / 2)), ties to even."""
    size = list(preprocess["size"])
    if preprocess["resize_mode"] == "squash" and size == list(whole):
        return resized
    axes = steps.constant("crop_axes", np.array([2, 3], np.int64))
    if preprocess["resize_mode"] == "squash":
        first = [round((side - kept) / 2) for side, kept in zip(whole, size, strict=True)]
        start = steps.constant("crop_start", np.array(first, np.int64))
        stop = steps.constant("crop_stop", np.array(first, np.int64) + np.array(size, np.int64))
        return steps.node("Slice", [resized, start, stop, axes], "cropped")
    kept = steps.constant("crop_size", np.array(size, np.int64))
    margin = steps.node("Sub", [steps.node("Shape", [resized], "whole_size", start=2), kept], "margin")
    margin = steps.node("Cast", [margin], "margin_float", to=TensorProto.FLOAT)
    half = steps.node("Mul", [margin, steps.constant("one_half", np.float32(0.5))], "half_margin")
    start = steps.node("Cast", [steps.node("Round", [half], "first_kept")], "crop_start", to=TensorProto.INT64)
    return steps.node("Slice", [resized, start, steps.node("Add", [start, kept], "crop_stop"), axes], "cropped")


class _Steps:
    """Nodes and constants of a graph under construction."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output; returns its name."""
        self._nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: npt.NDArray[np.generic] | np.generic) -> str:
        """Add a constant; returns its name."""
        self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def model(
        self,
        like: onnx.ModelProto,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
    ) -> onnx.ModelProto:
        """A model of the same versions as `like`."""
        graph = helper.make_graph(self._nodes, name, list(inputs), list(outputs), self._constants)
        return helper.make_model(graph, opset_imports=list(like.opset_import), ir_version=like.ir_version)
