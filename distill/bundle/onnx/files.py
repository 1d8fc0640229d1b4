"""`onnx/` of a bundle: the student for ONNX Runtime, without torch.

    image.onnx        `image` float32 (B, C, P, Q), prepared as by timm's transform -> `embedding` (B, D)
    image-uint8.onnx  `image` uint8 (B, H, W, 3), RGB of any size -> `scores` (B, K) and `embedding` (B, D)
    image-int8.onnx   as image.onnx, with 8-bit weights (`distill.bundle.onnx.int8`)
    text.onnx, tokenizer.json   on request: the teacher's text tower (`distill.bundle.onnx.text`)
    config.json       labels, temperature, preprocessing, how texts are written, accuracies of image.onnx and the int8

Embeddings are L2-normalised; scores are the softmax over all labels. Each graph is compared with torch before it counts
as written. Each file is an optional part of the bundle.
B images, C channels, H, W and P, Q height and width in pixels; K labels, D embedding width.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import timm
import torch
from PIL import Image
from torch import Tensor

from distill.bundle.onnx.graphs import image_encoder, saved, with_preprocessing
from distill.bundle.onnx.int8 import Batch, method_of, quantised
from distill.bundle.onnx.runtime import check_cosine, cosines, session
from distill.bundle.onnx.text import write_text
from distill.bundle.optional_parts import ONNX, ONNX_INT8, ONNX_TEXT, ONNX_UINT8, OptionalParts
from distill.bundle.student_files import StudentWeights
from distill.bundle.verify import BundleError
from distill.data.atomic_files import write_bytes
from distill.json_types import JSONObject, OnnxAccuracyJSON, OnnxPartJSON
from distill.teacher.teacher import Teacher

CONFIG_FILE, FORMAT = "config.json", "limbeck onnx 1"
IMAGE_FILE = "image.onnx"

Encode = Callable[[Batch], Batch]
"""Embeddings (B, D) of prepared images (B, C, P, Q)."""
Measure = Callable[[Mapping[str, Encode]], Mapping[str, OnnxPartJSON]]
"""Accuracies of named encoders on the held-out (`id`) and the OOD images (`ood`), for the parts that have images."""


@dataclass(frozen=True, kw_only=True)
class OnnxInputs:
    """The inputs of `onnx/` besides the student and the text targets.

    `temperature`: of the scores. `templates`: how a text is made from a label, each with `{}` for its name.
    `text`: the teacher whose text tower is written too, None for no text tower; `num_learned`: of its learned vectors.
    `calibration`: yields batches (B, C, P, Q) of prepared training images. `measure`: None if no image is measured.
    """

    temperature: float
    templates: tuple[str, ...]
    text: Teacher | None = None
    num_learned: int = 0
    calibration: Callable[[], Iterable[Batch]]
    measure: Measure | None = None


def write_onnx(
    folder: Path,
    parts: OptionalParts,
    student: StudentWeights,
    model: torch.nn.Module,
    targets: Tensor,
    labels: Sequence[str],
    inputs: OnnxInputs,
) -> OnnxAccuracyJSON | None:
    """Write the graphs of the student that can be written; the accuracies of the float and the int8 encoder.

    `model`: of `student`, on the CPU. `targets` (K, D) of the K `labels`. Returns None without an int8 encoder.
    """
    encoder = parts.write(ONNX, lambda: _write_encoder(folder, student, model))
    if encoder is None:
        return None
    parts.write(ONNX_UINT8, lambda: _write_uint8(folder, student, model, encoder, targets, inputs.temperature))
    accuracy = parts.write(ONNX_INT8, lambda: _write_int8(folder, encoder, inputs))
    text = None
    if (teacher := inputs.text) is not None:
        learned = inputs.num_learned
        text = parts.write(ONNX_TEXT, lambda: write_text(folder, teacher, inputs.templates, num_learned=learned))
    config: JSONObject = {
        "format": FORMAT,
        "labels": list(labels),
        "temperature": inputs.temperature,
        "preprocess": _preprocess(student),
        "text": text,
        "int8": cast(JSONObject | None, accuracy),
    }
    parts.write(ONNX, lambda: write_config(folder, config))
    return accuracy


def write_config(folder: Path, config: JSONObject) -> None:
    """Write `config.json`. Raises OSError."""
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(folder / CONFIG_FILE, text.encode(errors="backslashreplace"))


def _preprocess(student: StudentWeights) -> JSONObject:
    """The preprocessing by timm's names."""
    given = student.preprocess
    return {
        "size": given["size"],
        "mode": given.get("mode", "RGB"),
        "mean": given["mean"],
        "std": given["std"],
        "interpolation": given["interpolation"],
        "crop_pct": given["crop_pct"],
        "crop_mode": _crop_mode(student),
        "background": given.get("background"),
    }


def _crop_mode(student: StudentWeights) -> str:
    return {"squash": "squash", "shortest": "center"}[student.preprocess["resize_mode"]]


def encode_with(path: Path) -> Encode:
    """The encoder in a file."""
    opened = session(path)

    def encode(images: Batch) -> Batch:
        (embedding,) = opened.run(["embedding"], {"image": images})
        found: Batch = embedding
        return found

    return encode


@torch.no_grad()
def _write_encoder(folder: Path, student: StudentWeights, model: torch.nn.Module) -> onnx.ModelProto:
    noise = student.noise()
    encoder = image_encoder(model, noise)
    write_bytes(folder / IMAGE_FILE, saved(encoder))
    encode = encode_with(folder / IMAGE_FILE)
    for images in (noise[:1], noise, torch.cat([noise, noise.flip(2)[:1]])):  # any number of images
        check_cosine(IMAGE_FILE, encode(images.numpy()), model(images))
    return encoder


@torch.no_grad()
def _write_uint8(
    folder: Path,
    student: StudentWeights,
    model: torch.nn.Module,
    encoder: onnx.ModelProto,
    targets: Tensor,
    temperature: float,
) -> None:
    features: npt.NDArray[np.float32] = targets.float().numpy()
    graph = with_preprocessing(encoder, student.preprocess, features, temperature=temperature)
    write_bytes(folder / ONNX_UINT8, saved(graph))
    opened = session(folder / ONNX_UINT8)
    transform = _transform(student)
    for height, width in _picture_sizes(student):
        picture = _picture(height, width)
        prepared = transform(Image.fromarray(picture).convert(student.preprocess.get("mode", "RGB")))  # (C, P, Q)
        (embedding,) = opened.run(["embedding"], {"image": picture[None]})
        check_cosine(ONNX_UINT8, embedding, model(prepared[None]))


def _transform(student: StudentWeights) -> Callable[[Image.Image], Tensor]:
    """timm's evaluation transform."""
    timm_data: Any = timm.data  # it does not export this name to type checkers
    given = student.preprocess
    made: Callable[[Image.Image], Tensor] = timm_data.create_transform(
        input_size=(len(given["mean"]), *given["size"]),
        mean=given["mean"],
        std=given["std"],
        interpolation=given["interpolation"],
        crop_pct=given["crop_pct"],
        crop_mode=_crop_mode(student),
    )
    return made


def _picture_sizes(student: StudentWeights) -> list[tuple[int, int]]:
    """A larger and a smaller picture than the student's."""
    height, width = student.preprocess["size"]
    return [(height * 2 + 3, width * 3 + 1), (height * 2 // 3, width * 3 // 4)]


def _picture(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Smooth colours with noise, always the same."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int64)
    pixels: npt.NDArray[np.uint8] = np.clip(smooth + random.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)
    return pixels


def _write_int8(folder: Path, encoder: onnx.ModelProto, inputs: OnnxInputs) -> OnnxAccuracyJSON:
    """Write the int8 encoder, and measure it beside the float one."""
    batches = list(inputs.calibration())
    write_bytes(folder / ONNX_INT8, saved(quantised(encoder, batches)))
    encoders = {"float32": encode_with(folder / IMAGE_FILE), "int8": encode_with(folder / ONNX_INT8)}
    alike = np.concatenate([cosines(*(encode(batch) for encode in encoders.values())) for batch in batches])
    if not np.isfinite(alike).all():
        raise BundleError("its embeddings are not finite")
    measured = {} if inputs.measure is None else inputs.measure(encoders)
    return {
        "method": method_of(encoder),
        "num_calibration_images": len(alike),
        "mean_cosine": round(float(alike.mean()), 6),
        "id": measured.get("id"),
        "ood": measured.get("ood"),
    }
