"""The programs of a model card: which ones it has, and that they run and agree with the service's own decoding."""

import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ExifTags, Image
from safetensors.torch import load_file

from distill.bundle.card.model_card import model_card
from distill.bundle.onnx.files import OnnxInputs
from limbeck.classify import load_student
from limbeck.shared.images.decode import open_rgb
from tests.distill.bundle.bundles import BACKGROUND, LABELS, student_weights
from tests.distill.bundle.card.test_model_card import FACTS
from tests.distill.bundle.cards import programs

THRESHOLD = {"score": "cosine", "threshold": 0.1875, "false_alarm_rate": 0.05, "target_rate": 0.05, "num_images": 100}


def card_with(**changes: Any) -> str:
    return model_card(replace(FACTS, **changes))


def test_programs_of_the_parts_that_exist() -> None:
    parts = programs(card_with(onnx=["image-uint8.onnx"], evaluation={"none_of_these": THRESHOLD}))
    assert list(parts) == ["timm", "open_clip", "ONNX Runtime", "transformers"]
    assert "if cosines.max() < 0.1875:" in parts["timm"]
    assert "cosines / 0.05)" in programs(card_with(made_from={"config": {"objective": {"temperature": 0.05}}}))["timm"]


def test_parts_that_are_left_out_have_a_reason() -> None:
    card = card_with(pairing=None, left_out={"pairing": "no <tower>", "onnx": "no export"})
    assert list(programs(card)) == ["timm", "transformers"]
    assert "no `pairing/` for open_clip: no &lt;tower&gt;." in card
    assert "no `onnx/`: no export." in card
    card = card_with(onnx=["image.onnx"], left_out={"image-uint8.onnx": "no resize"})
    assert "no `onnx/image-uint8.onnx`: no resize." in card


def test_accuracy_of_int8_is_beside_that_of_float() -> None:
    onnx = {"id": {"float32": 0.75, "int8": 0.7, "num_images": 8}, "ood": None}
    files = ["image-uint8.onnx", "image-int8.onnx", "text.onnx"]
    card = card_with(onnx=files, evaluation={"onnx": onnx})
    assert "8-bit weights: 70.0% (float32: 75.0%) on seen labels (held-out images)." in card
    assert "--labels" in card
    assert "export" not in card
    without_text = card_with(onnx=files[:2])
    assert "accuracy was not measured" in without_text
    assert "export . --text" in without_text
    assert "--text" not in card_with(onnx=files[:2], pairing=None)


@pytest.mark.slow
@pytest.mark.image_input(
    "Decoding", "the code of the model card", "decodes orientation and transparency as training does"
)
@pytest.mark.parametrize(
    ("name", "image_px", "model_args", "resized"),
    [
        ("resnet10t", 64, {}, False),
        ("test_resnet", (64, 40), {}, False),
        ("test_vit", (64, 48), {"img_size": [64, 48]}, True),
        ("test_vit", 160, {}, False),
    ],
)
def test_code_of_the_card_runs(
    tmp_path: Path,
    write: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    image_px: int | tuple[int, int],
    model_args: dict[str, Any],
    resized: bool,
) -> None:
    student = student_weights(name, image_px, **model_args)
    out = tmp_path / "bundle"
    write(out, student)
    # A rotated picture with transparent parts: the card's code must decode it as training does.
    photo = Image.effect_noise((90, 70), 80).convert("RGBA")
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    photo.save(out / "photo.jpg", "PNG", exif=exif)
    found = programs((out / "README.md").read_text())
    assert ("visual.trunk = " in found["open_clip"]) is resized
    monkeypatch.chdir(out)
    trained_on = open_rgb((out / "photo.jpg").read_bytes(), BACKGROUND)
    embeddings = {}
    for library in ("timm", "open_clip"):
        (tmp_path / "code.py").write_text(found[library])
        names = runpy.run_path(str(tmp_path / "code.py"))
        assert names["photo"].tobytes() == trained_on.tobytes()
        embeddings[library] = names["embedding"]
    torch.testing.assert_close(embeddings["timm"], embeddings["open_clip"], atol=1e-5, rtol=0)
    targets = load_file(out / "targets" / "text_targets.safetensors")["features"]
    scores = (embeddings["timm"] @ targets.T / 0.07).softmax(dim=-1)[0]
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert printed[0][0] == f"{float(scores.max()):.3f}"
    assert str(LABELS[int(scores.argmax())]["label"]).startswith(printed[0][1])


@pytest.mark.nightly  # exports ONNX files and starts three processes: 26 s of CPU
def test_programs_of_the_card_run_alone(tmp_path: Path, write: Callable[..., Any]) -> None:
    """Each in a process of its own, in the folder of the bundle, on a picture that is larger than the student's."""
    out = tmp_path / "bundle"
    student = student_weights("test_resnet", 32)
    onnx = OnnxInputs(temperature=0.07, templates=("a photo of {}",), calibration=lambda: [student.noise().numpy()])
    write(out, student, onnx=onnx, left_out={"plots": ""})
    Image.radial_gradient("L").resize((90, 70)).convert("RGB").save(out / "photo.jpg")
    found = programs((out / "README.md").read_text())
    found.pop("transformers")  # no dependency; tests/distill/bundle/test_transformers.py
    shown = {name: text.splitlines() for name, text in outputs(found, out).items()}
    assert [line.split()[1] for line in shown["open_clip"]] == ["crane", "heron", "pelican"]
    best = load_student(out).classify(out / "photo.jpg").labels[0]
    for name, tolerance in (("timm", 2e-3), ("ONNX Runtime", 1e-2)):
        score, _, label = shown[name][0].partition(" ")
        assert best.label.startswith(label)
        assert float(score) == pytest.approx(best.confidence, abs=tolerance)


def outputs(codes: dict[str, str], folder: Path, python: str = sys.executable) -> dict[str, str]:
    """What each program prints. Fails with its error if one does not end well."""
    started = {
        name: subprocess.Popen(
            [python, "-c", code],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
        for name, code in codes.items()
    }
    shown = {name: process.communicate(timeout=120) for name, process in started.items()}
    failed = {name: error for name, (_, error) in shown.items() if started[name].returncode}
    assert failed == {}
    return {name: output for name, (output, _) in shown.items()}
