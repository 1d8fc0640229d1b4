"""The checkpoint bundle: a trained student as the libraries that people use load it, and all that is known of it.

    image/     config.json, model.safetensors: the student alone, for timm
    pairing/   open_clip_config.json, open_clip_model.safetensors, tokenizer: student + the teacher's text tower
    targets/   text_targets.safetensors, labels.json
    evaluation.json, training.jsonl, README.md, manifest.json (`distill.bundle.verify` reads it)
    loss.png, accuracy.png, reliability.png, confusions.png

Both folders are loaded by their own library before the bundle is there, and must give the student's own features.
No pickle; every file is readable by all; the same student gives the same bytes. K labels, D embedding width.
"""

import copy
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import open_clip
import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf

from distill.bundle import plots
from distill.bundle.model_card import model_card
from distill.bundle.verify import MANIFEST_FILE, MANIFEST_FORMAT, BundleError, file_sha256
from distill.data.atomic_files import replacing, write_bytes
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets

__all__ = ["BundleError", "BundleFile", "StudentWeights", "write_bundle"]

TOLERANCE = 1e-5
NOT_OURS = ("tag", "license", "origin_url", "paper_ids", "paper_name", "notes")


class BundleFile(NamedTuple):
    """A file of a bundle: its path below the bundle, hexadecimal sha256, and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, eq=False, kw_only=True)
class StudentWeights:
    """A trained student. `timm.create_model(name, num_classes=width, **model_args)` takes `state` as it is.

    `preprocess`: how it sees a picture at evaluation: `size` [h, w] in pixels, `mean` and `std` of values in 0..1,
    `interpolation`, `resize_mode` ("squash" or "shortest"), and `crop_pct`, the side's share that `size` is of.
    """

    name: str
    width: int
    state: Mapping[str, torch.Tensor]
    preprocess: Mapping[str, Any]
    model_args: Mapping[str, Any] = field(default_factory=dict)


def write_bundle(
    out: Path,
    *,
    student: StudentWeights,
    teacher: Teacher,
    targets: TextTargets,
    labels: Sequence[Mapping[str, Any]],
    evaluation: Mapping[str, Any],
    training_log: Path,
    provenance: Mapping[str, Any],
) -> list[BundleFile]:
    """Write a bundle to `out`, which must not exist or be empty; it appears whole, or not at all.

    `labels`: K mappings in the order of the targets, each with `label` and whatever else is known (sense, attributes,
    part). `evaluation`: `distill.evaluation.accuracy.Evaluation.as_json()`, and under `teacher` a list of the same of
    the teacher, where it was measured. `training_log`: JSON lines. `provenance`: JSON-able, the digests of what the
    student was made from. Returns every file, the manifest last. Raises BundleError where the parts do not fit together
    or a library does not give the student's own features.
    """
    _check_fit(out, student, teacher, targets, labels)
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}.part")
    try:
        model = _build(student)
        _write_image(draft / "image", student, model)
        resized = _write_pairing(draft / "pairing", student, teacher)
        _verify_towers(draft, student, teacher, model, resized=resized)
        _write_targets(draft / "targets", targets, labels)
        _write_json(draft / "evaluation.json", evaluation)
        write_bytes(draft / "training.jsonl", training_log.read_bytes())
        plots.draw_loss(plots.read_curve(training_log), draft / "loss.png")
        parts = {part: evaluation[part] for part in ("id", "ood") if evaluation.get(part)}
        plots.draw_accuracy(parts, draft / "accuracy.png")
        plots.draw_reliability(parts, draft / "reliability.png")
        plots.draw_confusions(parts, draft / "confusions.png")
        made_from = {
            **provenance,
            "teacher": {key: teacher.info()[key] for key in ("ref", "digest", "preprocess_digest")},
            "versions": {"timm": timm.__version__, "open_clip": open_clip.__version__},
        }
        card = model_card(
            student=student.name,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            width=student.width,
            model_args=student.model_args,
            preprocess=student.preprocess,
            teacher=teacher.ref,
            labels=[str(entry["label"]) for entry in labels],
            num_shortened=len(targets.truncated),
            evaluation=evaluation,
            made_from=made_from,
            resized=resized,
            num_context=0 if targets.context is None else len(targets.context),
            wants_transformers=bool(teacher.model_cfg["text_cfg"].get("hf_tokenizer_name")),
        )
        write_bytes(draft / "README.md", card.encode())
        files = _write_manifest(draft, student, made_from)
        for folder in (draft, *(path for path in draft.iterdir() if path.is_dir())):
            folder.chmod(0o755)
        os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return files


def _check_fit(
    out: Path, student: StudentWeights, teacher: Teacher, targets: TextTargets, labels: Sequence[Mapping[str, Any]]
) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} is there already: name a folder that is not")
    if student.width != teacher.width:
        raise BundleError(f"the student's head is {student.width} wide, the teacher {teacher.width}: they do not pair")
    if targets.teacher["digest"] != teacher.digest:
        raise BundleError(f"the text targets are not of the teacher {teacher.ref}: encode them again")
    if targets.features.shape != (len(labels), teacher.width):
        raise BundleError(f"there are {len(labels)} labels, and text targets of shape {tuple(targets.features.shape)}")


def _build(student: StudentWeights) -> torch.nn.Module:
    model: torch.nn.Module = timm.create_model(student.name, num_classes=student.width, **student.model_args)
    try:
        model.load_state_dict(dict(student.state))
    except RuntimeError as error:
        raise BundleError(f"the weights are not those of a {student.name} of width {student.width}: {error}") from error
    return model.eval()


def _write_image(folder: Path, student: StudentWeights, model: torch.nn.Module) -> None:
    seen = student.preprocess
    data = {
        "input_size": (3, *seen["size"]),
        "mean": tuple(seen["mean"]),
        "std": tuple(seen["std"]),
        "interpolation": seen["interpolation"],
        "crop_pct": float(seen["crop_pct"]),
        "crop_mode": {"squash": "squash", "shortest": "center"}[seen["resize_mode"]],
    }
    _save_weights(folder / "model.safetensors", model.state_dict())
    with replacing(folder / "config.json") as draft:
        save_config_for_hf(model, str(draft), data_config=data)
        config = json.loads(draft.read_text(encoding="utf-8"))
        # timm describes the published weights of this architecture, which these are not.
        for key in NOT_OURS:
            config["pretrained_cfg"].pop(key, None)
        draft.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write_pairing(folder: Path, student: StudentWeights, teacher: Teacher) -> bool:
    """Write the pairing; true if open_clip must be told the student's size before it can take the weights."""
    seen = student.preprocess
    cfg = copy.deepcopy(teacher.model_cfg)
    # A captioning teacher (CoCa) leaves its decoder behind, and its text tower gives the decoder's input no more.
    cfg.pop("multimodal_cfg", None)
    cfg["text_cfg"].pop("output_tokens", None)
    cfg["vision_cfg"] = {
        "timm_model_name": student.name,
        "timm_model_pretrained": False,
        # Empty and null: timm's own pooling and classifier, which is the projection, and nothing of open_clip's.
        "timm_proj": "",
        "timm_pool": None,
        "image_size": seen["size"][0],
    }
    described = {
        "model_cfg": cfg,
        "preprocess_cfg": {key: seen[key] for key in ("mean", "std", "interpolation", "resize_mode")},
    }
    _write_json(folder / "open_clip_config.json", described)
    trunk = {f"visual.trunk.{name}": tensor for name, tensor in student.state.items()}
    _save_weights(folder / "open_clip_model.safetensors", {**teacher.text_state(), **trunk})
    teacher.save_tokenizer(folder)
    plain = timm.create_model(student.name, num_classes=student.width).state_dict()
    return any(plain[name].shape != tensor.shape for name, tensor in student.state.items())


@torch.no_grad()
def _verify_towers(
    draft: Path, student: StudentWeights, teacher: Teacher, model: torch.nn.Module, *, resized: bool
) -> None:
    """Load what was written as its readers will, and compare features of noise and of a text."""
    noise = torch.randn(2, 3, *student.preprocess["size"], generator=torch.Generator().manual_seed(0))
    own = model(noise)  # (2, D)
    text = "a photo of a crane"
    paired = _load_pairing(draft / "pairing", student.preprocess["size"][0] if resized else None)
    ids = torch.full((1, teacher.context_length), teacher.tokenizer.pad_id)
    (tokens,) = teacher.tokenizer.ids([text])
    ids[0, : len(tokens)] = torch.tensor(tokens)
    compared = {
        "image/ in timm": (timm.create_model(f"local-dir:{draft / 'image'}", pretrained=True).eval()(noise), own),
        "pairing/ in open_clip": (paired.encode_image(noise), own),
    }
    # Where the teacher is, because another device rounds otherwise.
    said = paired.to(teacher.device).encode_text(ids.to(teacher.device), normalize=True)
    compared["the text tower of pairing/"] = (said, teacher.encode_text([text]))
    for place, (given, expected) in compared.items():
        far = float((given - expected).abs().max()) if given.shape == expected.shape else float("inf")
        if not far <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise BundleError(
                f"{place} gives features {far:.2g} away from the student's own: {student.name} cannot be bundled"
            )


def _load_pairing(folder: Path, image_px: int | None) -> Any:
    if image_px is None:
        return open_clip.create_model(f"local-dir:{folder}", require_pretrained=True).eval()
    model: Any = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    model.visual.set_input_size(image_px)
    open_clip.load_checkpoint(model, str(folder / "open_clip_model.safetensors"))
    return model.eval()


def _write_targets(folder: Path, targets: TextTargets, labels: Sequence[Mapping[str, Any]]) -> None:
    targets.save(folder / "text_targets.safetensors")
    entries = [{**entry, "prompts": list(prompts)} for entry, prompts in zip(labels, targets.prompts, strict=True)]
    shortened = [entry._asdict() for entry in targets.truncated]
    _write_json(folder / "labels.json", {"labels": entries, "shortened": shortened})


def _write_manifest(draft: Path, student: StudentWeights, made_from: Mapping[str, Any]) -> list[BundleFile]:
    files = [
        BundleFile(path.relative_to(draft).as_posix(), file_sha256(path), path.stat().st_size)
        for path in sorted(draft.rglob("*"))
        if path.is_file()
    ]
    manifest = {
        "format": MANIFEST_FORMAT,
        "student": {"name": student.name, "width": student.width, "preprocess": student.preprocess},
        "made_from": made_from,
        "files": [file._asdict() for file in files],
    }
    _write_json(draft / MANIFEST_FILE, manifest)
    path = draft / MANIFEST_FILE
    return [*files, BundleFile(MANIFEST_FILE, file_sha256(path), path.stat().st_size)]


def _save_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    # Clones, because safetensors refuses tensors that share their memory.
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    with replacing(path) as draft:
        save_file(whole, draft, metadata={"format": "pt"})


def _write_json(path: Path, value: object) -> None:
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
