"""A student of a converted teacher, and of one with a text tower of Hugging Face, is paired with its text tower."""

import json
from pathlib import Path

import open_clip
import pytest
import timm
import torch

from distill.bundle.write import StudentWeights, write_bundle
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import encode_text_targets
from tests.distill.teacher.test_hugging_face_text import needs_transformers, save_hugging_face
from tests.distill.teacher.test_transformers import MODELS

TEXTS = ["a photo of a crane", "a red cap"]


def _bundle(out: Path, teacher: Teacher) -> Path:
    model = timm.create_model("resnet10t", num_classes=teacher.width)
    student = StudentWeights(
        name="resnet10t",
        width=teacher.width,
        state=model.state_dict(),
        preprocess={
            "size": [64, 64],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "squash",
            "crop_pct": 1.0,
        },
    )
    (log := out.with_suffix(".jsonl")).write_text('{"step": 1, "loss": 1.0, "losses": {"cls": 1.0}}\n')
    write_bundle(
        out,
        student=student,
        teacher=teacher,
        targets=encode_text_targets(teacher, [[text] for text in TEXTS], cache=None),
        labels=[{"label": text} for text in TEXTS],
        evaluation={"text": "names", "id": None, "ood": None},
        training_log=log,
        provenance={},
    )
    return out


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["clip_with_end_token", "siglip"])
def test_pairing_of_a_converted_teacher(tmp_path: Path, name: str) -> None:
    """`write_bundle` compares the features of the text tower that open_clip loads."""
    teacher = load_teacher(f"local-dir:{MODELS / name}")
    out = _bundle(tmp_path / "bundle", teacher)
    paired = load_teacher(f"local-dir:{out / 'pairing'}")
    torch.testing.assert_close(paired.encode_text(TEXTS), teacher.encode_text(TEXTS), atol=1e-6, rtol=0)
    assert paired.tokenizer.ids(TEXTS) == teacher.tokenizer.ids(TEXTS)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["made_from"]["teacher"]["weights"] == dict(teacher.weights)
    assert "model.safetensors" in (out / "README.md").read_text()


@needs_transformers
@pytest.mark.nightly
def test_pairing_with_a_text_tower_of_hugging_face(tmp_path: Path) -> None:
    teacher = load_teacher(f"local-dir:{save_hugging_face(tmp_path / 'teacher', 'xlm-roberta')}")
    pairing = _bundle(tmp_path / "bundle", teacher) / "pairing"
    model = open_clip.create_model(f"local-dir:{pairing}").eval()
    with torch.no_grad():
        texts = model.encode_text(open_clip.get_tokenizer(f"local-dir:{pairing}")(TEXTS), normalize=True)
    torch.testing.assert_close(texts, teacher.encode_text(TEXTS), atol=1e-6, rtol=0)
