"""An image encoder with 8-bit weights: `image-int8.onnx`.

A convolutional encoder is quantised statically: calibration images set the scales of its activations, so that all its
convolutions are computed with 8-bit integers. A transformer is quantised dynamically: each matrix product sets the
scale of its activations for each image, because a few activations of a transformer are far larger than the others.
Weights have 7 bits and a scale for each output channel: sums of 8-bit products overflow on CPUs without VNNI, where the
measured accuracy would not hold. B images, C channels, P, Q height and width in pixels.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx

from distill.bundle.onnx.graphs import saved
from distill.bundle.verify import BundleError

STATIC_OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "MaxPool", "AveragePool", "GlobalAveragePool")

Method = Literal["static", "dynamic"]
Batch = npt.NDArray[np.float32]

# Tells the quantiser that it needs no further optimisation of the graph, on which it would insist in a log message.
_PREPROCESSED = onnx.StringStringEntryProto(key="onnx.quant.pre_process", value="onnxruntime.quant")


def method_of(encoder: onnx.ModelProto) -> Method:
    """How an encoder is quantised: statically if most of its layers are convolutions."""
    count = Counter(node.op_type for node in encoder.graph.node)
    return "static" if count["Conv"] > count["MatMul"] else "dynamic"


def quantised(encoder: onnx.ModelProto, calibration: Iterable[Batch], method: Method | None = None) -> onnx.ModelProto:
    """The encoder with 8-bit weights. `calibration`: batches (B, C, P, Q) of prepared images, for the static method.

    `method`: that of `method_of` unless it is given.

    Raises BundleError for an encoder that cannot be quantised.
    """
    from onnxruntime import quantization

    prepared = onnx.ModelProto()
    prepared.CopyFrom(encoder)
    prepared.metadata_props.append(_PREPROCESSED)
    options = {"per_channel": True, "reduce_range": True, "weight_type": quantization.QuantType.QInt8}
    with tempfile.TemporaryDirectory(prefix="int8-") as folder, _quiet():
        out = Path(folder) / "int8.onnx"
        try:
            if (method or method_of(encoder)) == "static":
                quantization.quantize_static(
                    prepared,
                    str(out),
                    _Calibration(calibration),
                    quant_format=quantization.QuantFormat.QDQ,
                    activation_type=quantization.QuantType.QUInt8,
                    op_types_to_quantize=[*STATIC_OPERATORS],
                    **options,
                )
            else:
                quantization.quantize_dynamic(prepared, str(out), op_types_to_quantize=["MatMul", "Gemm"], **options)
        except (MemoryError, OSError):
            raise
        except Exception as error:  # the quantiser raises any kind of error
            raise BundleError(f"ONNX Runtime cannot quantise it ({error})") from error
        graph: onnx.ModelProto = onnx.load(out)
    del graph.metadata_props[:]
    saved(graph)
    return graph


class _Calibration:
    """The batches as the quantiser reads them."""

    def __init__(self, batches: Iterable[Batch]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, Batch] | None:
        """The next batch by the name of the input; None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the quantiser logs to the root logger for its developers."""
    root = logging.getLogger()

    def keeps(record: logging.LogRecord) -> bool:
        return "onnxruntime" not in record.pathname

    root.addFilter(keeps)
    try:
        yield
    finally:
        root.removeFilter(keeps)
