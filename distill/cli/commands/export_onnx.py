"""ONNX files for an existing bundle, without the files of its teacher.

    python -m distill export BUNDLE --text

adds `onnx/image.onnx` and `onnx/image-uint8.onnx` of the student, unless the bundle has them, and with `--text` the
text encoder of its pairing with its tokenizer, so that `limbeck classify` reads new labels. Exit codes: 0; 2, with one
line on standard error, for unusable input. The bundle changes only if everything was written.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from distill.bundle.add_files import add_files
from distill.bundle.onnx.files import CONFIG_FILE, OnnxInputs, write_config, write_onnx
from distill.bundle.onnx.text import text_tower_of, write_text
from distill.bundle.optional_parts import ONNX, ONNX_INT8, ONNX_TEXT, OptionalParts
from distill.bundle.verify import BundleError, Manifest, verify_bundle
from distill.cli.console import Console
from distill.cli.exit_codes import exit_code
from distill.config.train_config import ObjectiveConfig
from distill.pipeline import bundle_weights
from distill.student.init_from_bundle import TARGETS
from distill.student.saved_student import load_bundled_student
from distill.teacher.teacher import Teacher
from distill.texts.text_targets import TextTargets
from distill.texts.text_templates import PromptOptions
from limbeck.shared.images.background import WHITE

NO_IMAGES = "its scales need training images, which a bundle does not hold"


def main(argv: Sequence[str]) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m distill export", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the folder of a bundle")
    parser.add_argument("--text", action="store_true", help="add the text encoder and tokenizer of pairing/")
    parser.add_argument(
        "--template", action="append", metavar="TEXT", help="with --text: how a label is written (repeatable)"
    )
    namespace = parser.parse_args(argv)
    return exit_code(lambda: _export(namespace))


@torch.no_grad()
def _export(namespace: argparse.Namespace) -> None:
    bundle: Path = namespace.bundle
    console = Console(sys.stderr)
    manifest = verify_bundle(bundle, partial=True)
    listed = {file["path"] for file in manifest["files"]}
    wants_text = namespace.text and f"onnx/{ONNX_TEXT}" not in listed
    if f"onnx/{ONNX_TEXT}" in listed or (not namespace.text and "onnx/image.onnx" in listed):
        console.message(f"{bundle} has these ONNX files already")
        return
    if wants_text and not (bundle / "pairing").is_dir():
        raise BundleError(f"{bundle} holds no pairing/, which has the text encoder: download that part")
    prompt = PromptOptions(templates=namespace.template) if namespace.template else PromptOptions()
    with tempfile.TemporaryDirectory(prefix=f".{bundle.name}.", dir=bundle.absolute().parent) as folder:
        draft, scratch = Path(folder) / "draft", Path(folder) / "scratch"
        scratch.mkdir()
        text = text_tower_of(bundle / "pairing", scratch) if wants_text else None
        left_out = dict(manifest.get("left_out", {}))
        if "onnx/image.onnx" in listed:
            assert text is not None
            _write_text(bundle, draft, text, prompt)
        else:
            left_out |= _write_all(bundle, draft, manifest, text, prompt)
        added = add_files(bundle, draft, manifest, _still_left_out(left_out, draft))
    for name in added:
        console.message(f"wrote {bundle / name}")
    for part, reason in left_out.items():
        if part not in (ONNX, ONNX_TEXT):
            console.message(f"the bundle has no {part}: {reason}")


def _still_left_out(left_out: dict[str, str], draft: Path) -> dict[str, str]:
    """`left_out` without the parts that were written now."""
    written = {ONNX, *(path.name for path in draft.rglob("*.onnx"))}
    return {part: reason for part, reason in left_out.items() if part not in written}


def _write_text(bundle: Path, draft: Path, teacher: Teacher, prompt: PromptOptions) -> None:
    """Add the text encoder to the ONNX files of the bundle."""
    config: dict[str, Any] = json.loads((bundle / "onnx" / CONFIG_FILE).read_text(encoding="utf-8"))
    folder = draft / "onnx"
    learned = _num_learned(TextTargets.load(bundle / TARGETS))
    config["text"] = write_text(folder, teacher, tuple(prompt.prefixes("{}")), num_learned=learned)
    write_config(folder, config)


def _write_all(
    bundle: Path, draft: Path, manifest: Manifest, text: Teacher | None, prompt: PromptOptions
) -> dict[str, str]:
    """Write all ONNX files but the int8 encoder; returns the parts that are left out. Raises BundleError."""
    background = manifest["student"]["preprocess"].get("background", WHITE)
    student = bundle_weights(load_bundled_student(bundle / "image", background))
    targets = TextTargets.load(bundle / TARGETS)
    labels = json.loads((bundle / "targets" / "labels.json").read_text(encoding="utf-8"))["labels"]
    parts = OptionalParts(draft, {ONNX_INT8: NO_IMAGES}, raises_transient=True)
    inputs = OnnxInputs(
        temperature=_temperature(manifest),
        templates=tuple(prompt.prefixes("{}")),
        text=text,
        num_learned=_num_learned(targets),
        calibration=lambda: [],
    )
    names = [str(entry["label"]) for entry in labels]
    write_onnx(draft / "onnx", parts, student, student.model(), targets.features, names, inputs)
    for wanted in (ONNX, *((ONNX_TEXT,) if text is not None else ())):
        if wanted in parts.left_out:
            raise BundleError(f"{bundle}: {wanted} cannot be written: {parts.left_out[wanted]}")
    return parts.left_out


def _num_learned(targets: TextTargets) -> int:
    return 0 if targets.context is None else len(targets.context)


def _temperature(manifest: Manifest) -> float:
    """The temperature of the training; bundles of earlier releases have a config without sections."""
    made_from: dict[str, Any] = dict(manifest["made_from"])
    config = made_from.get("config", {})
    found = config.get("objective", config).get("temperature")
    return float(ObjectiveConfig().temperature if found is None else found)
