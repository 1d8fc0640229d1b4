"""The student of a bundle, ready to be measured. D embedding width."""

from pathlib import Path

import timm
from safetensors import SafetensorError

from distill.bundle.verify import Manifest
from distill.student.model import Student, StudentError


def load_bundle_student(folder: Path, manifest: Manifest) -> Student:
    """The student of the bundle in `folder`, by its `image/`, in evaluation mode. Raises StudentError."""
    facts = manifest["student"]
    preprocess = facts["preprocess"]
    try:
        model = timm.create_model(f"local-dir:{folder / 'image'}", pretrained=True).eval()
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise StudentError(f"{folder / 'image'} cannot be loaded by timm: {reason}") from error
    mean, std = preprocess["mean"], preprocess["std"]
    return Student(
        name=facts["name"],
        width=facts["width"],
        image_px=preprocess["size"][0],
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        model=model,
        test_crop=preprocess["crop_pct"],
    )
