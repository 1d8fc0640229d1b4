"""`pairing/` of a bundle: the student and the teacher's text tower, for open_clip. Writes it and loads it back.

open_clip builds an image tower of timm from its name alone, at its default size. If that is not the student, the image
tower is built with the student's own arguments before the weights are loaded; the model card shows the code.
B images, D embedding width.
"""

import copy
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import open_clip
import torch

from distill.bundle.student_files import StudentWeights, check_features, save_weights
from distill.bundle.verify import BundleError
from distill.data.atomic_files import write_bytes
from distill.teacher.clip_model import ClipModel
from distill.teacher.teacher import Teacher
from limbeck.shared.text import first_line

PairingLoad = Literal["plain", "own_tower"]
"""How open_clip loads a pairing: by its name alone, or after the image tower was built with the student's arguments."""

CONFIG_FILE, WEIGHTS_FILE = "open_clip_config.json", "open_clip_model.safetensors"
TEXT = "a photo of a crane"


def write_pairing(folder: Path, student: StudentWeights, teacher: Teacher) -> None:
    """Write config, weights and tokenizer. Raises BundleError for a student of grey images, and OSError."""
    preprocess = student.preprocess
    if len(preprocess["mean"]) != 3:
        raise BundleError("open_clip builds image encoders of three channels, and this one takes grey images")
    height, width = preprocess["size"]
    cfg = copy.deepcopy(teacher.model_cfg)
    # Remove the decoder of a captioning teacher (CoCa); the text encoder then returns no tokens for the decoder.
    cfg.pop("multimodal_cfg", None)
    cfg["text_cfg"].pop("output_tokens", None)
    cfg["vision_cfg"] = {
        "timm_model_name": student.name,
        "timm_model_pretrained": False,
        # Empty and null: keep timm's pooling and classifier (the projection), add no layer of open_clip.
        "timm_proj": "",
        "timm_pool": None,
        "image_size": height if height == width else [height, width],
    }
    config = {
        "model_cfg": cfg,
        "preprocess_cfg": {key: preprocess[key] for key in ("mean", "std", "interpolation", "resize_mode")},
    }
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(folder / CONFIG_FILE, text.encode())
    trunk = {f"visual.trunk.{name}": tensor for name, tensor in student.state.items()}
    save_weights(folder / WEIGHTS_FILE, {**teacher.text_state(), **trunk})
    teacher.save_tokenizer(folder)


def verify_pairing(folder: Path, student: StudentWeights, teacher: Teacher, expected: torch.Tensor) -> PairingLoad:
    """The simplest way in which open_clip loads `folder` and reproduces the features `expected` (2, D) and a text's.

    Raises BundleError, with the reason of the last way, if there is none, and an error of memory.
    """
    try:
        _verify(folder, student, teacher, expected, "plain")
    except Exception:  # open_clip and timm raise any kind of error for a tower that they cannot build
        try:
            _verify(folder, student, teacher, expected, "own_tower")
        except (BundleError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            raise BundleError(f"open_clip cannot load {student.name} ({first_line(error)})") from error
        return "own_tower"
    return "plain"


@torch.no_grad()
def _verify(
    folder: Path, student: StudentWeights, teacher: Teacher, expected: torch.Tensor, loading: PairingLoad
) -> None:
    paired = load_pairing(folder, student, loading)
    check_features("pairing/ in open_clip", student, paired.encode_image(student.noise()), expected)
    ids = torch.full((1, teacher.context_length), teacher.tokenizer.pad_id)
    (tokens,) = teacher.tokenizer.ids([TEXT])
    ids[0, : len(tokens)] = torch.tensor(tokens)
    # On the teacher's device, because rounding differs between devices.
    text_feature = paired.to(teacher.device).encode_text(ids.to(teacher.device), normalize=True)
    check_features("the text encoder of pairing/", student, text_feature, teacher.encode_text([TEXT]))


def load_pairing(folder: Path, student: StudentWeights, loading: PairingLoad) -> ClipModel:
    """The pairing in evaluation mode, loaded as the model card says. Raises the errors of open_clip and timm."""
    if loading == "plain":
        paired: ClipModel = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
        return paired.eval()
    with _weights_follow():
        model: ClipModel = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    model.visual.trunk = student.new_model()
    open_clip.load_checkpoint(model, str(folder / WEIGHTS_FILE))
    return model.eval()


@contextmanager
def _weights_follow() -> Iterator[None]:
    """Hide open_clip's warning that a model starts from random weights, because they are loaded after it is built."""

    def keeps(record: logging.LogRecord) -> bool:
        return "Model initialized randomly" not in record.getMessage()

    root = logging.getLogger()  # open_clip logs there
    root.addFilter(keeps)
    try:
        yield
    finally:
        root.removeFilter(keeps)
