"""A valid command line of `python -m distill`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

LABELS = ("crane", "heron", "red finch", "blue jay")


@pytest.fixture
def command(tmp_path: Path, tiny_clip: Path, make_images: Callable[..., list[Path]]) -> list[str]:
    """A valid command line, for 32 images of 4 labels."""
    for at, label in enumerate(LABELS):
        make_images(tmp_path / "images" / label.replace(" ", "_"), 8, seed=at)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    (tmp_path / "set.json").write_text(json.dumps({label: ["long legs", "a grey body"] for label in LABELS[:3]}))
    return [
        *("--images", str(tmp_path / "images"), "--labels", str(tmp_path / "labels.txt")),
        *("--attributes", str(tmp_path / "set.json"), "--text", "phrases", "--teacher", f"local-dir:{tiny_clip}"),
        *("--student", "test_resnet", "--recipe", "limbeck-small", "--out", str(tmp_path / "out")),
        *("--set", "image_px=32", "--set", "threads=1"),
        *(
            "--set",
            "epochs=2",
            "--set",
            "batch_size=4",
            "--set",
            "device=cpu",
            "--set",
            "num_workers=2",
            "--set",
            "onnx=false",
        ),
    ]
