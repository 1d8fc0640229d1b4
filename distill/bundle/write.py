"""Writes the checkpoint bundle: a trained student for timm and open_clip, with its evaluation and provenance.

    image/     config.json, model.safetensors: the student alone, for timm
    pairing/   open_clip_config.json, open_clip_model.safetensors, tokenizer: student and the teacher's text encoder
    targets/   text_targets.safetensors, labels.json
    evaluation.json, training.jsonl, README.md, manifest.json (`distill.bundle.verify` reads it)
    loss.png, accuracy.png, reliability.png, confusions.png

Before the bundle appears, both folders are loaded by their library and must reproduce the student's features. The
bundle holds no pickle, its files are world-readable, and the same student gives the same bytes.
K labels, D embedding width.
"""

import copy
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, cast

import open_clip
import timm
import torch
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf

from distill.bundle import plots
from distill.bundle.model_card import CardFacts, model_card
from distill.bundle.verify import MANIFEST_FILE, MANIFEST_FORMAT, BundleError, file_sha256
from distill.data.atomic_files import replacing, write_bytes
from distill.json_types import JSONObject, ModelArgs, StudentEvaluation, StudentPreprocess
from distill.teacher.clip_model import ClipModel
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets

__all__ = ["BundleError", "BundleFile", "StudentWeights", "write_bundle"]

TOLERANCE = 1e-5
PRETRAINED_KEYS = ("tag", "license", "origin_url", "paper_ids", "paper_name", "notes")


class BundleFile(NamedTuple):
    """A file of a bundle: path relative to the bundle, sha256 in hexadecimal, and size in bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, eq=False, kw_only=True)
class StudentWeights:
    """A trained student; `state` is a state dict of `timm.create_model(name, num_classes=width, **model_args)`.

    `preprocess`: the preprocessing at evaluation: `size` [height, width] in pixels, `mean` and `std` of values in 0..1,
    `interpolation`, `resize_mode` ("squash" or "shortest"), and `crop_pct`: `size` as a share of the resized side.
    """

    name: str
    width: int
    state: Mapping[str, torch.Tensor]
    preprocess: StudentPreprocess
    model_args: ModelArgs = field(default_factory=ModelArgs)


def write_bundle(
    out: Path,
    *,
    student: StudentWeights,
    teacher: Teacher,
    targets: TextTargets,
    labels: Sequence[Mapping[str, object]],
    evaluation: StudentEvaluation,
    training_log: Path,
    provenance: JSONObject,
) -> list[BundleFile]:
    """Write a bundle to `out`, which must be missing or an empty folder. The bundle appears atomically.

    `labels`: K mappings in the order of the targets, each with `label` and optional facts (sense, lines, part).
    `evaluation`: `distill.evaluation.accuracy.Evaluation.as_json()`; under `teacher`, a list of evaluations of the
    teacher if it was measured. `training_log`: JSON lines. `provenance`: digests of the inputs, in JSON types.
    Returns every file, the manifest last. Raises BundleError if the inputs are inconsistent, or if a library does not
    reproduce the student's features.
    """
    _check_inputs(out, student, teacher, targets, labels)
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}.part")
    try:
        model = _build_model(student)
        _write_image(draft / "image", student, model)
        is_resized = _write_pairing(draft / "pairing", student, teacher)
        _verify_features(draft, student, teacher, model, is_resized=is_resized)
        _write_targets(draft / "targets", targets, labels)
        _write_json(draft / "evaluation.json", evaluation)
        write_bytes(draft / "training.jsonl", training_log.read_bytes())
        _draw_plots(draft, training_log, evaluation)
        made_from: JSONObject = {
            **provenance,
            "teacher": {
                "ref": teacher.ref,
                "digest": teacher.digest,
                "preprocess_digest": teacher.preprocess_digest,
                "weights": cast(JSONObject, teacher.weights),
            },
            "versions": {"timm": timm.__version__, "open_clip": open_clip.__version__},
        }
        facts = _card_facts(student, model, teacher, targets, labels, evaluation, made_from, is_resized=is_resized)
        write_bytes(draft / "README.md", model_card(facts).encode())
        files = _write_manifest(draft, student, made_from)
        for folder in (draft, *(path for path in draft.iterdir() if path.is_dir())):
            folder.chmod(0o755)
        os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return files


def _card_facts(
    student: StudentWeights,
    model: torch.nn.Module,
    teacher: Teacher,
    targets: TextTargets,
    labels: Sequence[Mapping[str, object]],
    evaluation: StudentEvaluation,
    made_from: JSONObject,
    *,
    is_resized: bool,
) -> CardFacts:
    return CardFacts(
        student=student.name,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        width=student.width,
        model_args=student.model_args,
        preprocess=student.preprocess,
        teacher=teacher.ref,
        labels=[str(entry["label"]) for entry in labels],
        num_shortened=len(targets.truncated),
        evaluation=evaluation,
        made_from=made_from,
        is_resized=is_resized,
        num_context=0 if targets.context is None else len(targets.context),
        needs_transformers=bool(teacher.model_cfg["text_cfg"].get("hf_tokenizer_name")),
    )


def _check_inputs(
    out: Path, student: StudentWeights, teacher: Teacher, targets: TextTargets, labels: Sequence[Mapping[str, object]]
) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} already exists: name a new folder")
    if student.width != teacher.width:
        raise BundleError(
            f"the embedding width of the student is {student.width}, of the teacher {teacher.width}: they must be equal"
        )
    if targets.teacher["digest"] != teacher.digest:
        raise BundleError(f"the text targets were not encoded by the teacher {teacher.ref}: encode them again")
    if targets.features.shape != (len(labels), teacher.width):
        raise BundleError(
            f"text targets of shape {tuple(targets.features.shape)} do not match {len(labels)} labels of width "
            f"{teacher.width}: encode them again for these labels"
        )


def _build_model(student: StudentWeights) -> torch.nn.Module:
    model: torch.nn.Module = timm.create_model(student.name, num_classes=student.width, **student.model_args)
    try:
        model.load_state_dict(dict(student.state))
    except RuntimeError as error:
        raise BundleError(f"the weights do not fit a {student.name} of width {student.width}: {error}") from error
    return model.eval()


def _write_image(folder: Path, student: StudentWeights, model: torch.nn.Module) -> None:
    preprocess = student.preprocess
    data_config = {
        "input_size": (3, *preprocess["size"]),
        "mean": tuple(preprocess["mean"]),
        "std": tuple(preprocess["std"]),
        "interpolation": preprocess["interpolation"],
        "crop_pct": float(preprocess["crop_pct"]),
        "crop_mode": {"squash": "squash", "shortest": "center"}[preprocess["resize_mode"]],
    }
    _save_weights(folder / "model.safetensors", model.state_dict())
    with replacing(folder / "config.json") as draft:
        save_config_for_hf(model, str(draft), data_config=data_config)
        config = json.loads(draft.read_text(encoding="utf-8"))
        # timm writes the description of the architecture's published weights, which does not apply to these weights.
        for key in PRETRAINED_KEYS:
            config["pretrained_cfg"].pop(key, None)
        draft.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write_pairing(folder: Path, student: StudentWeights, teacher: Teacher) -> bool:
    """Write the pairing; returns whether open_clip must set the student's size before it loads the weights."""
    preprocess = student.preprocess
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
        "image_size": preprocess["size"][0],
    }
    config = {
        "model_cfg": cfg,
        "preprocess_cfg": {key: preprocess[key] for key in ("mean", "std", "interpolation", "resize_mode")},
    }
    _write_json(folder / "open_clip_config.json", config)
    trunk = {f"visual.trunk.{name}": tensor for name, tensor in student.state.items()}
    _save_weights(folder / "open_clip_model.safetensors", {**teacher.text_state(), **trunk})
    teacher.save_tokenizer(folder)
    default = timm.create_model(student.name, num_classes=student.width).state_dict()
    return any(default[name].shape != tensor.shape for name, tensor in student.state.items())


@torch.no_grad()
def _verify_features(
    draft: Path, student: StudentWeights, teacher: Teacher, model: torch.nn.Module, *, is_resized: bool
) -> None:
    """Load both folders with their library and compare features of noise images and of a text."""
    noise = torch.randn(2, 3, *student.preprocess["size"], generator=torch.Generator().manual_seed(0))
    expected_image = model(noise)  # (2, D)
    text = "a photo of a crane"
    paired = _load_pairing(draft / "pairing", student.preprocess["size"][0] if is_resized else None)
    ids = torch.full((1, teacher.context_length), teacher.tokenizer.pad_id)
    (tokens,) = teacher.tokenizer.ids([text])
    ids[0, : len(tokens)] = torch.tensor(tokens)
    from_timm = timm.create_model(f"local-dir:{draft / 'image'}", pretrained=True).eval()
    features = {
        "image/ in timm": (from_timm(noise), expected_image),
        "pairing/ in open_clip": (paired.encode_image(noise), expected_image),
    }
    # On the teacher's device, because rounding differs between devices.
    text_feature = paired.to(teacher.device).encode_text(ids.to(teacher.device), normalize=True)
    features["the text encoder of pairing/"] = (text_feature, teacher.encode_text([text]))
    for place, (found, expected) in features.items():
        difference = float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")
        if not difference <= TOLERANCE * max(1.0, float(expected.abs().max())):
            raise BundleError(
                f"{place} gives features that differ by {difference:.2g} from the original: {student.name} cannot be "
                "bundled"
            )


def _load_pairing(folder: Path, image_px: int | None) -> ClipModel:
    if image_px is None:
        paired: ClipModel = open_clip.create_model(f"local-dir:{folder}", require_pretrained=True)
        return paired.eval()
    model: ClipModel = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    model.visual.set_input_size(image_px)
    open_clip.load_checkpoint(model, str(folder / "open_clip_model.safetensors"))
    return model.eval()


def _draw_plots(draft: Path, training_log: Path, evaluation: StudentEvaluation) -> None:
    parts = {name: part for name in plots.PARTS if (part := evaluation.get(name))}
    plots.draw_loss(plots.read_curve(training_log), draft / "loss.png")
    plots.draw_accuracy(parts, draft / "accuracy.png")
    plots.draw_reliability(parts, draft / "reliability.png")
    plots.draw_confusions(parts, draft / "confusions.png")


def _write_targets(folder: Path, targets: TextTargets, labels: Sequence[Mapping[str, object]]) -> None:
    targets.save(folder / "text_targets.safetensors")
    entries = [{**entry, "prompts": list(prompts)} for entry, prompts in zip(labels, targets.prompts, strict=True)]
    shortened = [entry._asdict() for entry in targets.truncated]
    _write_json(folder / "labels.json", {"labels": entries, "shortened": shortened})


def _write_manifest(draft: Path, student: StudentWeights, made_from: JSONObject) -> list[BundleFile]:
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
    # Cloned, because safetensors rejects tensors that share memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    with replacing(path) as draft:
        save_file(tensors, draft, metadata={"format": "pt"})


def _write_json(path: Path, value: object) -> None:
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
