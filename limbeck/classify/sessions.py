"""ONNX Runtime on the CPU: a session for the file of a graph, and its output.

B images or texts of a batch, D embedding width.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from limbeck.shared.bundle.files import BundleError

Floats = npt.NDArray[np.float32]


def num_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Graph:
    """A graph with one input and an output `embedding` (B, D), L2-normalised."""

    def __init__(self, path: Path, input_name: str) -> None:
        """Raises BundleError for a file that is no such graph."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_cpus()
        options.log_severity_level = 3  # errors only: warnings are about how the graph was exported
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # decoding needs the CPUs too
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has an exception class for each status
            raise BundleError(f"{path} cannot be loaded: {' '.join(str(error).split())[:300]}") from None
        inputs = [one.name for one in self._session.get_inputs()]
        outputs = [one.name for one in self._session.get_outputs()]
        if inputs != [input_name] or "embedding" not in outputs:
            raise BundleError(f"{path} needs the input {input_name} and the output embedding: has {inputs}, {outputs}")
        self._input = input_name

    @property
    def input_shape(self) -> list[Any]:
        """The sizes of the input; a text for a size that may be any."""
        shape: list[Any] = self._session.get_inputs()[0].shape
        return shape

    @property
    def width(self) -> int:
        """D, or 0 if the graph does not state it."""
        width = next(one for one in self._session.get_outputs() if one.name == "embedding").shape[-1]
        return width if isinstance(width, int) else 0

    def __call__(self, batch: npt.NDArray[Any]) -> Floats:
        """The embeddings (B, D) of a batch."""
        (embedding,) = self._session.run(["embedding"], {self._input: batch})
        found: Floats = embedding
        return found
