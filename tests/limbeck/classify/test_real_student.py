"""A student that the service exports: its predictions are those of the service's evaluation, which runs torch."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distill.bundle.onnx.graphs import image_encoder, saved
from distill.bundle.onnx.text import write_text
from distill.data.decoded_images import decode_images, eval_size
from distill.student.features import student_features
from distill.student.model import Student, build_student
from distill.teacher.teacher import load_teacher
from distill.texts.text_targets import encode_text_targets
from distill.texts.text_templates import LabelAttributes, PromptOptions, render
from limbeck.classify import Classification, load_student
from limbeck.classify.bundle import Bundle
from limbeck.classify.text_encoder import TextEncoder
from tests.golden.training import TEACHER
from tests.limbeck.small_bundle import change_config, safetensors_of, write_bundle

WIDTH = 8
SIZES = [(50, 80), (40, 40), (36, 48), (300, 20), (3, 400), (700, 4), (90, 91)]


def write_images(folder: Path) -> list[Path]:
    """Pictures of many sizes and kinds: JPEG, grey, transparent."""
    random, paths = np.random.default_rng(0), []
    for number, (width, height) in enumerate(SIZES * 3):
        coarse = Image.fromarray(random.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
        suffix = ("jpg", "png", "webp")[number % 3]
        if number % 4 == 1:
            picture = picture.convert("L")
        elif suffix == "png":
            picture.putalpha(picture.convert("L"))
        paths.append(folder / f"{number}.{suffix}")
        picture.save(paths[-1])
    return paths


def test_predictions_are_those_of_the_evaluation(tmp_path: Path) -> None:
    student = build_student("test_resnet", width=WIDTH, image_px=(36, 48), seed=0, test_crop=0.9)
    paths = write_images(tmp_path)
    expected = evaluated(student, paths, tmp_path / "cache")
    targets = torch.nn.functional.normalize(torch.from_numpy(expected[:5]) + 0.05, dim=-1).numpy()
    write_student(tmp_path / "bundle", student, targets)
    loaded = load_student(tmp_path / "bundle")
    assert loaded.transform.shape == (3, 36, 48)
    embeddings = loaded.embed(paths)
    assert (embeddings * expected).sum(axis=1).min() > 0.9999
    best = [found.labels[0].label for _, found in loaded.classify_many(paths) if isinstance(found, Classification)]
    assert best == [f"label {number}" for number in (expected @ targets.T).argmax(axis=1)]
    assert len(set(best)) > 2


@pytest.mark.nightly
def test_new_labels_have_the_text_targets_of_the_service(tmp_path: Path) -> None:
    teacher = load_teacher(f"local-dir:{TEACHER}")
    prompt = PromptOptions(templates=("a photo of {}", "a drawing of {}."), concept="bird")
    write_bundle(tmp_path / "bundle")
    facts = write_text(tmp_path / "bundle" / "onnx", teacher, tuple(prompt.prefixes("{}")), num_learned=0)
    change_config(tmp_path / "bundle", text=facts)
    labels = ["Horned Woorsneth", "crane", "Bewick's  swan (white)", "Cr\u00eape &amp; ROLL", "heron, " * 40, "q7" * 60]
    texts = [render("names", label, LabelAttributes(), prompt) for label in labels]
    expected = encode_text_targets(teacher, texts, cache=None)
    assert {shortened.label for shortened in expected.truncated} == {4, 5}
    found = TextEncoder(Bundle.open(tmp_path / "bundle")).targets(labels)
    np.testing.assert_allclose(found, expected.features.numpy(), atol=1e-5)


def evaluated(student: Student, paths: list[Path], cache: Path) -> np.ndarray:
    """The embeddings (N, D) of images as the service's evaluation computes them."""
    images = decode_images(paths, eval_size(student.size, student.test_crop), cache=cache)
    features = student_features(student, images.pixels, np.arange(len(paths)), device=torch.device("cpu"))
    embeddings: np.ndarray = torch.nn.functional.normalize(features, dim=-1).numpy()
    return embeddings


def write_student(folder: Path, student: Student, targets: np.ndarray) -> None:
    """Write a bundle with the student's encoder and these targets."""
    write_bundle(folder)
    labels = [{"label": f"label {number}", "part": "id"} for number in range(len(targets))]
    (folder / "targets" / "labels.json").write_text(json.dumps({"labels": labels}))
    (folder / "targets" / "text_targets.safetensors").write_bytes(safetensors_of(targets))
    example = torch.randn(2, student.num_channels, *student.size)
    (folder / "onnx" / "image.onnx").write_bytes(saved(image_encoder(student.model.eval(), example)))
    change_config(folder, preprocess=onnx_preprocess(student))


def onnx_preprocess(student: Student) -> Mapping[str, object]:
    return {**student.preprocess(), "crop_mode": "squash"}
