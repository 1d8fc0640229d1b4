"""Classification with the student of a bundle, made with timm's smallest model."""

import json
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf

from limbeck.classify import load_student
from limbeck.cli import main

PX, WIDTH = 32, 8
LABELS: list[dict[str, str | None]] = [
    {"label": "red thing", "part": "id"},
    {"label": "blue thing", "part": "ood"},
    {"label": "odd thing", "part": None},
]
Capture = pytest.CaptureFixture[str]


def pixels(path: Path) -> torch.Tensor:
    """The bundle's preprocessing: squashed to PX, scaled to 0..1, mean 0.5 and std 0.25; (1, 3, PX, PX)."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((PX, PX), Image.Resampling.BICUBIC)
    raw = torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(PX, PX, 3)
    return (raw.permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.25


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    Image.new("RGB", (80, 50), (200, 30, 30)).save(path)
    return path


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    path = tmp_path / "blue.png"
    Image.new("RGB", (50, 80), (30, 30, 200)).save(path)
    return path


@pytest.fixture
def bundle(tmp_path: Path, red: Path, blue: Path) -> Path:
    """A student whose targets are its own features of the two images, so that the correct labels are known."""
    folder = tmp_path / "bundle"
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=WIDTH).eval()
    (folder / "image").mkdir(parents=True)
    (folder / "targets").mkdir()
    save_file(model.state_dict(), folder / "image" / "model.safetensors")
    data = {
        "input_size": (3, PX, PX),
        "mean": (0.5,) * 3,
        "std": (0.25,) * 3,
        "interpolation": "bicubic",
        "crop_pct": 1.0,
        "crop_mode": "squash",
    }
    save_config_for_hf(model, str(folder / "image" / "config.json"), data_config=data)
    with torch.inference_mode():
        features = [torch.nn.functional.normalize(model(pixels(path)), dim=-1)[0] for path in (red, blue)]
    save_file({"features": torch.stack([*features, -features[0]])}, folder / "targets" / "text_targets.safetensors")
    (folder / "targets" / "labels.json").write_text(json.dumps({"labels": LABELS}))
    (folder / "manifest.json").write_text(json.dumps({"made_from": {"config": {"temperature": 0.1}}}))
    return folder


def test_scores_are_the_softmax_at_the_bundles_temperature(bundle: Path, red: Path) -> None:
    student = load_student(bundle)
    found = student.classify(red, top=3)
    with torch.inference_mode():
        feature = torch.nn.functional.normalize(student.model(pixels(red)), dim=-1)
    expected = (feature @ student.targets.T / 0.1).softmax(dim=-1)[0]
    assert found[0][0] == "red thing"
    assert dict(found) == pytest.approx(
        {str(entry["label"]): float(score) for entry, score in zip(LABELS, expected, strict=True)}, abs=1e-4
    )
    assert found[0][1] > found[-1][1]


@pytest.mark.parametrize(
    ("among", "labels"),
    [("all", ["red thing", "blue thing", "odd thing"]), ("seen", ["red thing"]), ("unseen", ["blue thing"])],
)
def test_candidate_labels_are_all_seen_or_unseen(bundle: Path, among: str, labels: list[str]) -> None:
    assert list(load_student(bundle, among=among).labels) == labels


def test_the_command_prints_one_line_per_image(bundle: Path, red: Path, blue: Path, capsys: Capture) -> None:
    command = ["classify", "--checkpoint", str(bundle), "--top", "1", "--json", str(red), str(blue)]
    assert main(command) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["labels"][0]["label"] for line in lines] == ["red thing", "blue thing"]


def test_an_unreadable_image_does_not_stop_the_others(bundle: Path, red: Path, capsys: Capture) -> None:
    broken = bundle / "broken.png"
    broken.write_bytes(b"not an image")
    assert main(["classify", "--checkpoint", str(bundle), str(broken), str(red)]) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{red}: red thing")
    assert f"limbeck: {broken}" in printed.err
    assert printed.err.endswith("limbeck: 1 of 2 images could not be read\n")
