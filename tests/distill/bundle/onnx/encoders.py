"""Graphs in place of a student's, whose export by torch takes seconds."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from distill.bundle.onnx.graphs import OPSET


def mean_colour_encoder(*, width: int, px: int) -> onnx.ModelProto:
    """From `image` (B, 3, px, px) to `embedding` (B, width), a linear map of the mean colour, L2-normalised."""
    weight = np.random.default_rng(0).normal(size=(3, width)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["image", "sides"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["features"]),
        helper.make_node("LpNormalization", ["features"], ["embedding"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "student",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, px, px])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array([2, 3], np.int64), "sides")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
