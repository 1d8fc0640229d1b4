"""Tries the bundle of a student before its training, so that no training ends in a bundle that cannot be written.

`try_bundle` writes `image/`, `pairing/` and `onnx/` from untrained weights and loads them back. A student that timm
cannot reload is refused; one that open_clip cannot rebuild gets no pairing, and one that cannot be exported no ONNX
files. The result depends on architectures and versions alone, and is cached by them.
"""

import errno
import json
import logging
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import onnx
import open_clip
import timm
import torch
from torch import Tensor

from distill.bundle.onnx.files import OnnxInputs, write_onnx
from distill.bundle.optional_parts import OptionalParts
from distill.bundle.pairing import verify_pairing, write_pairing
from distill.bundle.student_files import StudentWeights, verify_image, write_image
from distill.bundle.verify import MANIFEST_FILE, BundleError
from distill.config.train_config import BundleConfig
from distill.data.atomic_files import write_bytes
from distill.data.row_cache import key_of
from distill.teacher.teacher import Teacher
from limbeck.shared.text import first_line

log = logging.getLogger(__name__)

CACHE_VERSION = 1
NO_ONNX = BundleConfig(onnx=False)
ONNX_LIBRARIES = ("onnxruntime", "onnxscript")
NOISE_STD = 0.01
# Plots, model card, labels and logs, and what the file system needs besides the files themselves.
SMALL_FILES_BYTES = 16 * 2**20
# Weights, their average, and two moments of the optimizer; the old state is replaced when the new one is complete.
STATE_COPIES = 2 * 4


@dataclass(frozen=True, kw_only=True)
class BundleTrial:
    """Result of `try_bundle`. `left_out`: optional part that the bundle cannot have -> reason. `seconds`: duration."""

    left_out: Mapping[str, str]
    seconds: float
    is_cached: bool
    has_onnx: bool = False

    def __str__(self) -> str:
        when = "tried before" if self.is_cached else f"tried in {self.seconds:.1f} s"
        if not self.left_out:
            libraries = "timm, open_clip and ONNX Runtime" if self.has_onnx else "timm and open_clip"
            return f"bundle {when}: {libraries} reproduce the student's features"
        reasons = "; ".join(f"it will have no {part} ({reason})" for part, reason in self.left_out.items())
        return f"bundle {when}: {reasons}"


def try_bundle(
    student: StudentWeights, teacher: Teacher, *, cache: Path, scratch: Path, files: BundleConfig = NO_ONNX
) -> BundleTrial:
    """Write and reload the parts of a bundle that need a library, in a temporary folder below `scratch`.

    `files`: the optional files of the bundle. Raises BundleError for a student that timm cannot reload, and OSError for
    a folder that cannot be written.
    """
    start = time.monotonic()
    cached = cache / "bundle_trials" / f"{_key(student, teacher, files)}.json"
    left_out = _read(cached)
    if left_out is not None:
        seconds = time.monotonic() - start
        return BundleTrial(left_out=left_out, seconds=seconds, is_cached=True, has_onnx=files.onnx)
    with tempfile.TemporaryDirectory(prefix="bundle-trial-", dir=scratch) as folder:
        parts = _try_parts(Path(folder), replace(student, state=_with_noise(student.state)), teacher, files)
    try:
        if parts.is_final:
            write_bytes(cached, json.dumps({"left_out": parts.left_out}).encode())
    except OSError as error:  # the next attempt then tries the bundle again
        log.warning("the result of a bundle trial is not cached: %s", error)
    seconds = time.monotonic() - start
    return BundleTrial(left_out=parts.left_out, seconds=seconds, is_cached=False, has_onnx=files.onnx)


def check_out(out: Path) -> None:
    """Raise BundleError for a folder `out` in which no bundle can appear: it holds other files, or cannot be read."""
    shown = str(out.absolute()).encode(errors="backslashreplace").decode()
    if shown != str(out.absolute()):
        raise BundleError(f"{shown}: safetensors reads no path that is not UTF-8: give another folder")
    if out.is_dir() and ((out / MANIFEST_FILE).is_file() or not any(out.iterdir())):
        return
    if out.exists():
        raise BundleError(f"{shown} holds files that are no bundle: move them away, or give another folder")


def check_disk(
    folder: Path, student: StudentWeights, teacher: Teacher, *, num_labels: int, files: BundleConfig = NO_ONNX
) -> None:
    """Raise OSError if the disk of `folder` lacks the space for the training state and the bundle."""
    weights, text = _num_bytes(student.state), _num_bytes(teacher.text_state())
    targets = 4 * num_labels * teacher.width
    needed = (STATE_COPIES + 2) * weights + text + targets + SMALL_FILES_BYTES
    if files.onnx:  # two graphs in float32, of which one holds the targets, and one in 8 bits
        needed += 3 * weights + targets + (text if files.text_onnx else 0)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC,
            f"{free / 1e6:,.0f} MB are free, but the training state and the bundle need {needed / 1e6:,.0f} MB: free "
            "space, or give a folder on another disk",
            str(folder),
        )


@torch.no_grad()
def _try_parts(folder: Path, student: StudentWeights, teacher: Teacher, files: BundleConfig) -> OptionalParts:
    """The parts that cannot be written. Raises BundleError for a student that timm cannot reload, and OSError."""
    parts = OptionalParts(folder, {}, raises_transient=True)
    # Building models draws from torch's global random numbers, on which the training must not depend.
    with torch.random.fork_rng(devices=[]):
        model = student.model()
        expected = model(student.noise())
        write_image(folder / "image", student, model)
        try:
            verify_image(folder / "image", student, expected)
        except Exception as error:  # timm raises any kind of error
            raise _not_reloadable(student, error) from error

        def pairing() -> None:
            write_pairing(folder / "pairing", student, teacher)
            verify_pairing(folder / "pairing", student, teacher, expected)

        parts.write("pairing", pairing)
        if files.onnx:
            _try_onnx(parts, student, model, teacher if files.text_onnx else None)
    return parts


def _try_onnx(parts: OptionalParts, student: StudentWeights, model: torch.nn.Module, text: Teacher | None) -> None:
    """Write the ONNX files of a student with two labels, quantised with images of noise."""
    targets = torch.nn.functional.normalize(torch.eye(2, student.width), dim=-1)
    inputs = OnnxInputs(temperature=1.0, templates=(), text=text, calibration=lambda: [student.noise().numpy()])
    write_onnx(parts.draft / "onnx", parts, student, model, targets, ["one", "two"], inputs)


def _not_reloadable(student: StudentWeights, error: Exception) -> BundleError:
    px, published = student.preprocess["size"][0], timm.get_pretrained_cfg(student.name)
    own_px = published.input_size[-1] if published else px
    remedy = f"set image_px to {own_px}, its own size, or choose" if own_px != px else "choose"
    return BundleError(
        f"a trained {student.name} of {px} px could not be loaded again with timm ({first_line(error)}): {remedy} "
        "another student"
    )


def _with_noise(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights plus noise, and variances around 1.

    Without it, weights that start as zeros, such as the head of an MLP-Mixer, would hide what was not reloaded.
    """
    random = torch.Generator().manual_seed(0)

    def changed(name: str, tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        if name.endswith("running_var"):
            return torch.rand(tensor.shape, generator=random, dtype=tensor.dtype) + 0.5
        return tensor + NOISE_STD * torch.randn(tensor.shape, generator=random, dtype=tensor.dtype)

    return {name: changed(name, tensor.detach().cpu()) for name, tensor in state.items()}


def _key(student: StudentWeights, teacher: Teacher, files: BundleConfig) -> str:
    """What the result depends on: architectures, sizes, tokenizer and versions, but no weights."""
    facts = {
        "version": CACHE_VERSION,
        "student": [student.name, student.width, dict(student.model_args), student.preprocess],
        "teacher": teacher.model_cfg,
        "tokenizer": teacher.tokenizer.fingerprint,
        "libraries": [timm.__version__, open_clip.__version__, torch.__version__],
    }
    if files.onnx:
        facts["onnx"] = [files.text_onnx, onnx.__version__, *(version(name) for name in ONNX_LIBRARIES)]
    return key_of(json.dumps(facts, sort_keys=True)).hex()


def _read(path: Path) -> dict[str, str] | None:
    """The cached result; None if there is none, or if it is damaged."""
    try:
        left_out = json.loads(path.read_bytes())["left_out"]
        return {str(part): str(reason) for part, reason in left_out.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _num_bytes(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in state.values())
