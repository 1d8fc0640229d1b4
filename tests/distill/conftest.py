"""Shared fixtures: a tiny teacher with random weights, generated image files, and four labels with images and texts."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import tokenizers
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import models, pre_tokenizers, processors

from distill.data.dataset.scan import scan
from distill.data.image_index import ImageIndex
from distill.data.splits import SPLIT
from distill.teacher.teacher import Teacher, load_teacher
from distill.texts.text_targets import TextTargets, encode_text_targets
from distill.texts.text_templates import LabelAttributes, render
from tests.distill.examples import LABELS, SPLIT_BY_LIST

WIDTH = 32
CONTEXT = 24
IMAGE_PX = 32


def tiny_clip_config(*, custom_text: bool = False) -> dict[str, Any]:
    """open_clip config of a CLIP with two small layers in each tower."""
    return {
        "embed_dim": WIDTH,
        "custom_text": custom_text,
        "vision_cfg": {"image_size": IMAGE_PX, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }


def save_clip(
    folder: Path,
    config: dict[str, Any],
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    preprocess: dict[str, Any] | None = None,
) -> Path:
    """Write a randomly initialised open_clip model as a `local-dir:` folder."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = {key: value for key, value in config.items() if key != "custom_text"}
    torch.manual_seed(seed)
    model = (open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP)(**arguments)
    state = {name: tensor.to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    written = {"model_cfg": config, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(written))
    return folder


class Clock:
    """The clock by which files are recent or not. `ahead_s`: how far it is ahead, in seconds."""

    ahead_s = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that a test can set, because no program can set the time at which a file was last changed (ctime)."""
    clock, now_ns = Clock(), time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(clock.ahead_s * 1e9))
    return clock


@pytest.fixture
def old_files(clock: Clock) -> None:
    """All files of the test count as last changed a minute ago."""
    clock.ahead_s = 60


def save_siglip(folder: Path) -> Path:
    """Write a small SigLIP: timm image tower, bidirectional text tower, last-token pooling, tokenizer from a file."""
    words = ["<pad>", "</s>", "<unk>", "a", "photo", "of", "crane", "with", "red", "cap"]
    inner = tokenizers.Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    folder.mkdir()
    inner.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "</s>"}, "eos_token": "</s>"}))
    config = {
        "embed_dim": 64,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit",
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 10,
            "width": 16,
            "heads": 2,
            "layers": 1,
            "hf_tokenizer_name": "somebody/siglip",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
        },
    }
    return save_clip(folder, config)


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random CLIP: width 32, context 24, 32 px. Copy it before changing it."""
    return save_clip(tmp_path_factory.mktemp("teachers") / "tiny", tiny_clip_config())


@pytest.fixture(scope="session")
def tiny_teacher(tiny_clip: Path) -> Teacher:
    return load_teacher(f"local-dir:{tiny_clip}")


@pytest.fixture
def make_images() -> Callable[..., list[Path]]:
    """`make_images(folder, count, seed=0)` writes `count` different small JPEG and PNG files."""

    def make(folder: Path, count: int, seed: int = 0) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng(seed)
        paths = []
        for number in range(count):
            height, width = random.integers(20, 60, size=2)
            coarse = Image.fromarray(random.integers(0, 256, size=(4, 4, 3), dtype=np.uint8))
            path = folder / f"{number:03d}{'.png' if number % 3 == 0 else '.jpg'}"
            coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC).save(path)
            paths.append(path)
        return paths

    return make


@pytest.fixture
def image_index(tmp_path: Path, make_images: Callable[..., list[Path]]) -> ImageIndex:
    """Eight images of each label of `tests.distill.examples`, two labels unseen."""
    for label, name in enumerate(LABELS):
        make_images(tmp_path / "images" / name.replace(" ", "_"), 8, seed=label)
    return scan(tmp_path / "images", LABELS, SPLIT.validate_python(SPLIT_BY_LIST))


@pytest.fixture
def targets(tiny_teacher: Teacher) -> TextTargets:
    """The text targets of the names of these labels."""
    return encode_text_targets(
        tiny_teacher, [render("names", label, LabelAttributes()) for label in LABELS], cache=None
    )
