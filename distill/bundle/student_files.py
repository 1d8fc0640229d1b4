"""`image/` of a bundle: the student alone, for timm. Writes it, loads it back and compares features.

B images, P pixels of a side, D embedding width.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from timm.models._hub import save_config_for_hf
from torch import Tensor

from distill.bundle.verify import BundleError
from distill.data.atomic_files import replacing
from distill.json_types import ModelArgs, StudentPreprocess
from distill.state_dicts import misfit

TOLERANCE = 1e-5
PRETRAINED_KEYS = ("tag", "license", "origin_url", "paper_ids", "paper_name", "notes")


@dataclass(frozen=True, eq=False, kw_only=True)
class StudentWeights:
    """A trained student; `state` is a state dict of `timm.create_model(name, num_classes=width, **model_args)`.

    `preprocess`: the preprocessing at evaluation: `size` [height, width] in pixels, `mean` and `std` of values in 0..1,
    `interpolation`, `resize_mode` ("squash" or "shortest"), `crop_pct`: `size` as a share of the resized side, and
    Pillow's `mode`, "RGB" or "L"; `mean` and `std` have a value for each of its channels.
    """

    name: str
    width: int
    state: Mapping[str, Tensor]
    preprocess: StudentPreprocess
    model_args: ModelArgs = field(default_factory=ModelArgs)

    def new_model(self) -> torch.nn.Module:
        """The architecture with new weights, in evaluation mode."""
        model: torch.nn.Module = timm.create_model(self.name, num_classes=self.width, **self.model_args)
        return model.eval()

    def model(self) -> torch.nn.Module:
        """The student, in evaluation mode on the CPU. Raises BundleError if the weights do not fit."""
        model = self.new_model()
        if reason := misfit(model.state_dict(), self.state):
            raise BundleError(f"the weights do not fit a {self.name} of width {self.width}: {reason}")
        model.load_state_dict(dict(self.state))
        return model

    def noise(self) -> Tensor:
        """Two images of noise (2, C, P, P) in the student's size, always the same."""
        shape = (2, len(self.preprocess["mean"]), *self.preprocess["size"])
        return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def write_image(folder: Path, student: StudentWeights, model: torch.nn.Module) -> None:
    """Write `config.json` and `model.safetensors` of `model`, which holds the weights of `student`. Raises OSError."""
    preprocess = student.preprocess
    data_config = {
        "input_size": (len(preprocess["mean"]), *preprocess["size"]),
        "mean": tuple(preprocess["mean"]),
        "std": tuple(preprocess["std"]),
        "interpolation": preprocess["interpolation"],
        "crop_pct": float(preprocess["crop_pct"]),
        "crop_mode": {"squash": "squash", "shortest": "center"}[preprocess["resize_mode"]],
    }
    save_weights(folder / "model.safetensors", model.state_dict())
    with replacing(folder / "config.json") as draft:
        save_config_for_hf(model, str(draft), data_config=data_config)
        config = json.loads(draft.read_text(encoding="utf-8"))
        # timm writes the description of the architecture's published weights, which does not apply to these weights.
        for key in PRETRAINED_KEYS:
            config["pretrained_cfg"].pop(key, None)
        # At the top level already; transformers refuses a config that has it among the arguments too.
        config.get("model_args", {}).pop("num_classes", None)
        draft.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def verify_image(folder: Path, student: StudentWeights, expected: Tensor) -> None:
    """Load `folder` with timm and compare its features of `student.noise()` with `expected` (2, D).

    Raises BundleError if they differ, and what timm raises.
    """
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    check_features("image/ in timm", student, loaded(student.noise()), expected)


def check_features(place: str, student: StudentWeights, found: Tensor, expected: Tensor) -> None:
    """Raise BundleError unless both features (B, D) are equal up to rounding, relative to their length.

    Values that are not finite must be equal in the same places.
    """
    if found.shape == expected.shape:
        length = float(expected.nan_to_num(0, 0, 0).norm(dim=1).max())
        if torch.allclose(found, expected, rtol=0, atol=TOLERANCE * length, equal_nan=True):
            return
        difference = f"that differ by {float((found - expected).abs().max()):.2g}"
    else:
        difference = f"of shape {tuple(found.shape)}, which differ"
    raise BundleError(f"{place} gives features {difference} from the original: {student.name} cannot be bundled")


def save_weights(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, atomically, with further `metadata`. Raises OSError."""
    # Cloned, because safetensors rejects tensors that share memory.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    try:
        with replacing(path) as draft:
            save_file(tensors, draft, metadata={"format": "pt", **(metadata or {})})
    except SafetensorError as error:  # safetensors raises this for an error of the disk
        raise OSError(f"{path} cannot be written: {error}") from error
