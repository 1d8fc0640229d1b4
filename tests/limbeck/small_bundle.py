"""A bundle whose ONNX graphs are a handful of nodes, for tests of classification. Imports no torch.

The student's embedding of an image is a linear map of its mean colour; the text tower's of a text is the sum
over its words.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

PX, WIDTH, TEMPERATURE, CONTEXT_LENGTH = 32, 8, 0.1, 6
Floats = npt.NDArray[np.float32]

LABELS: list[dict[str, str | None]] = [
    {"label": "red thing", "part": "id"},
    {"label": "blue thing", "part": "ood"},
    {"label": "odd thing", "part": None},
]
COLOURS = {"red thing": (200, 30, 30), "blue thing": (30, 30, 200)}
WORDS = ["[pad]", "[unknown]", "a", "photo", "of", "red", "blue", "thing"]
WEIGHTS = np.random.default_rng(0).normal(size=(3, WIDTH)).astype(np.float32)
PREPROCESS: dict[str, Any] = {
    "size": [PX, PX],
    "mode": "RGB",
    "mean": [0.5] * 3,
    "std": [0.25] * 3,
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "crop_mode": "squash",
    "background": "#ffffff",
}


def embedding_of(colour: tuple[int, int, int]) -> Floats:
    """(D,): the student's embedding of an image of one colour."""
    feature = ((np.array(colour, np.float32) / 255 - 0.5) / 0.25) @ WEIGHTS
    return normalised(feature)


def normalised(features: Floats) -> Floats:
    found: Floats = features / np.linalg.norm(features, axis=-1, keepdims=True)
    return found


def write_bundle(folder: Path, *, with_text: bool = False) -> None:
    """Write a student whose targets are its own embeddings of two colours, so that the correct labels are known."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "targets").mkdir()
    (folder / "onnx" / "image.onnx").write_bytes(image_graph())
    red, blue = (embedding_of(colour) for colour in COLOURS.values())
    targets = np.stack([red, blue, -red])
    (folder / "targets" / "text_targets.safetensors").write_bytes(safetensors_of(targets))
    (folder / "targets" / "labels.json").write_text(json.dumps({"labels": LABELS}))
    config: dict[str, Any] = {
        "format": "limbeck onnx 1",
        "labels": [entry["label"] for entry in LABELS],
        "temperature": TEMPERATURE,
        "preprocess": PREPROCESS,
        "text": None,
    }
    if with_text:
        (folder / "onnx" / "text.onnx").write_bytes(text_graph())
        write_tokenizer(folder / "onnx" / "tokenizer.json")
        config["text"] = {"context_length": CONTEXT_LENGTH, "templates": ["a photo of {}", "{}"], "pad_id": 0}
    (folder / "onnx" / "config.json").write_text(json.dumps(config))
    none_of_these = {
        "score": "cosine",
        "threshold": 0.5,
        "false_alarm_rate": 0.04,
        "target_rate": 0.05,
        "num_images": 1234,
    }
    (folder / "evaluation.json").write_text(json.dumps({"none_of_these": none_of_these}))
    (folder / "README.md").write_text("# A student\n")
    write_manifest(folder)


def add_thresholds(folder: Path, **thresholds: float) -> None:
    """Give the bundle thresholds of other scores than the cosine, and write the manifest again."""
    path = folder / "evaluation.json"
    by_score = {
        name: {"score": name, "threshold": value, "false_alarm_rate": 0.03, "target_rate": 0.05, "num_images": 900}
        for name, value in thresholds.items()
    }
    path.write_text(json.dumps({**json.loads(path.read_text()), "none_of_these_by_score": by_score}))
    write_manifest(folder)


def write_manifest(folder: Path, **fields: Any) -> None:
    """Write the manifest of the files as they are; `fields` replace its own."""
    files = [
        {
            "path": path.relative_to(folder).as_posix(),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "size": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "manifest.json"
    ]
    manifest = {"format": "limbeck bundle 1", "student": {}, "made_from": {}, "files": files, **fields}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_config(folder: Path, **fields: Any) -> None:
    """Replace fields of `onnx/config.json`, and write the manifest again."""
    path = folder / "onnx" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))
    write_manifest(folder)


def safetensors_of(features: Floats, *, dtype: str = "F32") -> bytes:
    """A safetensors file of the tensor `features`."""
    entry = {"dtype": dtype, "shape": list(features.shape), "data_offsets": [0, features.nbytes]}
    header = json.dumps({"features": entry}).encode()
    return len(header).to_bytes(8, "little") + header + features.tobytes()


def image_graph(channels: int = 3) -> bytes:
    """`image` (B, C, PX, PX) to `embedding` (B, D)."""
    nodes = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["features"]),
        helper.make_node("LpNormalization", ["features"], ["embedding"], axis=-1, p=2),
    ]
    constants = {"axes": np.array([2, 3], np.int64), "weights": WEIGHTS[:channels]}
    return _model(nodes, constants, helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", channels, PX, PX]))


def text_graph(width: int = WIDTH) -> bytes:
    """`tokens` (B, L) to `embedding` (B, D): the sum over the words, in which colours are the student's."""
    rows = np.random.default_rng(1).normal(size=(len(WORDS), width)).astype(np.float32)
    if width == WIDTH:
        rows[WORDS.index("red")] = embedding_of(COLOURS["red thing"])
        rows[WORDS.index("blue")] = embedding_of(COLOURS["blue thing"])
        rows[[WORDS.index(word) for word in ("a", "photo", "of", "thing")]] = 0
    nodes = [
        helper.make_node("Gather", ["rows", "tokens"], ["words"], axis=0),
        helper.make_node("ReduceSum", ["words", "axes"], ["features"], keepdims=0),
        helper.make_node("LpNormalization", ["features"], ["embedding"], axis=-1, p=2),
    ]
    rows[0] = 0
    constants = {"axes": np.array([1], np.int64), "rows": rows}
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["b", CONTEXT_LENGTH])
    return _model(nodes, constants, tokens, width)


def _model(nodes: list[Any], constants: dict[str, Any], given: Any, width: int = WIDTH) -> bytes:
    embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", width])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", [given], [embedding], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def write_tokenizer(path: Path) -> None:
    """A tokenizer of whole words."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[unknown]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(path))
