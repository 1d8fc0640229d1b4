"""Writes the checkpoint bundle: a trained student for timm and open_clip, with its evaluation and provenance.

    image/     config.json, model.safetensors: the student alone, for timm
    pairing/   open_clip_config.json, open_clip_model.safetensors, tokenizer: student and the teacher's text encoder
    onnx/      image.onnx, image-uint8.onnx, image-int8.onnx, text.onnx, tokenizer.json, config.json: for ONNX Runtime
    targets/   text_targets.safetensors, labels.json, outliers.safetensors (of look-alikes, if there are any)
    training_images.safetensors (what the student must not be measured on: `distill.data.dataset.trained_on`)
    evaluation.json, training.jsonl, README.md, manifest.json (`distill.bundle.verify` reads it)
    loss.png, accuracy.png, reliability.png, confusions.png
    open_set.png, domains.png, corruptions.png (of what was measured)

Before the bundle appears, both folders are loaded by their library and must reproduce the student's features. The
bundle holds no pickle, its files are world-readable, and the same student gives the same bytes. Pairing, ONNX files,
plots and model card are optional: if one fails, the bundle appears without it, and the manifest says why.
K labels, D embedding width.
"""

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch

from distill.bundle.card.facts import CardFacts
from distill.bundle.card.model_card import model_card
from distill.bundle.card.multi_label.markdown import precision_parts
from distill.bundle.common_files import (
    BundleFile,
    bundle_origin,
    encoded,
    write_json,
    write_manifest,
    write_targets,
)
from distill.bundle.onnx.files import OnnxInputs, write_onnx
from distill.bundle.optional_parts import CARD_FILE, OptionalParts
from distill.bundle.pairing import PairingLoad, verify_pairing, write_pairing
from distill.bundle.student_files import StudentWeights, verify_image, write_image
from distill.bundle.verify import BundleError
from distill.data.atomic_files import write_bytes
from distill.data.dataset.trained_on import IMAGES_FILE
from distill.json_types import JSONObject, StudentEvaluation
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets
from limbeck.shared.bundle.open_set import OUTLIERS_FILE

__all__ = ["BundleError", "BundleFile", "WrittenBundle", "write_bundle"]


@dataclass(frozen=True, kw_only=True)
class WrittenBundle:
    """Every file of a bundle, the manifest last. `left_out`: optional part that the bundle lacks -> reason.

    `evaluation`: as in the bundle, with the accuracies of its ONNX encoders.
    """

    files: list[BundleFile]
    evaluation: StudentEvaluation
    left_out: Mapping[str, str]


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
    training_images: Path | None = None,
    outliers: TextTargets | None = None,
    onnx: OnnxInputs | None = None,
    left_out: Mapping[str, str] | None = None,
) -> WrittenBundle:
    """Write a bundle to `out`, which must be missing or an empty folder. The bundle appears atomically.

    `labels`: K mappings in the order of the targets, each with `label` and optional facts (sense, lines, part).
    `evaluation`: `distill.evaluation.accuracy.Evaluation.as_json()`; under `teacher`, a list of evaluations of the
    teacher if it was measured. `training_log`: JSON lines. `provenance`: digests of the inputs, in JSON types.
    `training_images`: the record that `distill.data.dataset.trained_on` wrote. `outliers`: look-alikes of the labels,
    which are written if the evaluation has a threshold of their score.
    `onnx`: for `onnx/`, which is written if it is given. `left_out`: parts that cannot be written, from
    `distill.bundle.preflight`. An optional part (`OPTIONAL_PARTS`) that fails for any reason is left out too.
    Raises BundleError if the inputs are inconsistent, the student's features are not finite or timm does not reproduce
    them, and OSError.
    """
    _check_inputs(out, student, teacher, targets, labels)
    draft = out.with_name(f".{out.name}.{uuid.uuid4().hex}.part")
    try:
        with torch.no_grad():
            model = student.model()
            features = model(student.noise())  # (2, D)
        if not torch.isfinite(features).all():
            raise BundleError(
                f"{student.name} gives features that are not finite: its training has diverged; lower lr, or train in "
                "float32"
            )
        write_image(draft / "image", student, model)
        verify_image(draft / "image", student, features)
        write_targets(draft / "targets", targets, labels)
        if outliers is not None and "outliers" in evaluation.get("none_of_these_by_score", {}):
            outliers.save(draft / OUTLIERS_FILE)
        write_bytes(draft / "training.jsonl", training_log.read_bytes())
        if training_images is not None:
            write_bytes(draft / IMAGES_FILE, training_images.read_bytes())
        made_from = bundle_origin(provenance, teacher)
        optional = OptionalParts(draft, dict(left_out or {}))
        names = [str(entry["label"]) for entry in labels]
        if onnx is not None:
            accuracy = write_onnx(draft / "onnx", optional, student, model, targets.features, names, onnx)
            evaluation = evaluation if accuracy is None else {**evaluation, "onnx": accuracy}
        write_json(draft / "evaluation.json", evaluation)
        facts = CardFacts(
            student=student.name,
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            width=student.width,
            model_args=student.model_args,
            preprocess=student.preprocess,
            teacher=teacher.ref,
            labels=names,
            num_shortened=len(targets.truncated),
            evaluation=evaluation,
            made_from=made_from,
            pairing=optional.write("pairing", lambda: _pairing(draft / "pairing", student, teacher, features)),
            num_context=0 if targets.context is None else len(targets.context),
            needs_transformers=bool(teacher.model_cfg["text_cfg"].get("hf_tokenizer_name")),
        )
        optional.write("plots", lambda: _draw_plots(draft, training_log, evaluation))
        onnx_files = [path.name for path in (draft / "onnx").glob("*")]
        facts = replace(facts, onnx=onnx_files, left_out=optional.left_out)
        optional.write("card", lambda: write_bytes(draft / CARD_FILE, encoded(model_card(facts))))
        files = write_manifest(draft, student, made_from, optional.left_out)
        for folder in (draft, *(path for path in draft.iterdir() if path.is_dir())):
            folder.chmod(0o755)
        os.replace(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return WrittenBundle(files=files, evaluation=evaluation, left_out=optional.left_out)


def _pairing(folder: Path, student: StudentWeights, teacher: Teacher, features: torch.Tensor) -> PairingLoad:
    write_pairing(folder, student, teacher)
    return verify_pairing(folder, student, teacher, features)


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


def _draw_plots(draft: Path, training_log: Path, evaluation: StudentEvaluation) -> None:
    """Import matplotlib late: most processes end before they draw, or draw nothing."""
    from distill.bundle.card import plots
    from distill.bundle.card.further_plots import draw_further

    parts = {name: part for name in plots.PARTS if (part := evaluation.get(name))}
    plots.draw_loss(plots.read_curve(training_log), draft / "loss.png")
    if several := evaluation.get("multi_label"):
        levels = {name: {**part, "accuracy": part["mean_ap"]} for name, part in precision_parts(several).items()}
        plots.draw_accuracy(cast(plots.EvaluationParts, levels), draft / "accuracy.png", "average precision")
        return
    plots.draw_accuracy(parts, draft / "accuracy.png")
    plots.draw_reliability(parts, draft / "reliability.png")
    plots.draw_confusions(parts, draft / "confusions.png")
    draw_further(evaluation, draft)
