"""What `limbeck classify` reads of a bundle: configs, labels and text targets. Imports neither torch nor safetensors.

K labels, D embedding width.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from limbeck.shared.bundle.files import (
    BundleError,
    ManifestFile,
    check_format,
    listed_files,
    read_manifest,
    verified_path,
)
from limbeck.shared.bundle.open_set import OUTLIERS_FILE, OpenSetScore
from limbeck.shared.labels import unique_names
from limbeck.shared.text import counted

Floats = npt.NDArray[np.float32]
Among = Literal["all", "seen", "unseen"]
AMONG: tuple[Among, ...] = get_args(Among)

CONFIG, IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER = (
    "onnx/config.json",
    "onnx/image.onnx",
    "onnx/text.onnx",
    "onnx/tokenizer.json",
)
CONFIG_FORMAT = "limbeck onnx 1"
_PARTS = {"all": ("id", "ood", None), "seen": ("id",), "unseen": ("ood",)}
_LENGTH_BYTES = 8  # a safetensors file begins with the length of its header


class ScoreMissing(BundleError):
    """A bundle without a threshold of an open-set score, or without the look-alikes that the score needs."""


@dataclass(frozen=True)
class NoneOfThese:
    """An image is none of the labels if its `score`, among the text targets of all labels, is below `threshold`.

    `false_alarm_rate`: share of images of known labels that are below it, measured on `num_images` held-out images;
    None for a threshold of the user's.
    """

    threshold: float
    false_alarm_rate: float | None = None
    num_images: int | None = None
    score: OpenSetScore = "cosine"


@dataclass(frozen=True)
class LabelThreshold:
    """An image of a multi-label student shows each label whose cosine is at least `threshold`.

    `slope`, `intercept`: the probability of a label is the sigmoid of slope * cosine + intercept. `precision`,
    `recall`: of the labels, measured on `num_images` held-out images of seen labels; None for a threshold of the
    user's.
    """

    threshold: float
    slope: float
    intercept: float
    precision: float | None = None
    recall: float | None = None
    num_images: int | None = None


@dataclass(frozen=True)
class TextTowerConfig:
    """The text tower in `onnx/config.json`.

    `templates`: each contains `{}` once, for the label. `unescape_html`: how often HTML entities become characters
    before a text is split. `learned_vectors`: that stand before the labels of the bundle, but not before new ones.
    """

    context_length: int
    pad_id: int
    templates: tuple[str, ...]
    unescape_html: int = 0
    learned_vectors: int = 0


@dataclass(frozen=True)
class Bundle:
    """The files of a bundle. Each file that is read must have the size and sha256 of the manifest."""

    folder: Path
    files: Mapping[str, ManifestFile]
    left_out: Mapping[str, str]
    config: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read the manifest and `onnx/config.json`. Raises BundleError."""
        manifest = read_manifest(folder)
        bundle = cls(folder, listed_files(manifest), manifest.get("left_out") or {}, {})
        for name in (IMAGE_GRAPH, CONFIG):
            if name not in bundle.files and not (folder / name).exists():
                raise BundleError(
                    f"{folder} has no {name}{bundle.reason('onnx')}; add it in a checkout: "
                    f"python -m distill export {folder}"
                )
        config = bundle.json(CONFIG)
        check_format(config.get("format"), CONFIG_FORMAT, str(folder / CONFIG))
        return replace(bundle, config=config)

    def reason(self, part: str) -> str:
        """Why the bundle lacks an optional part, in brackets; empty if the manifest does not say it."""
        return f" ({self.left_out[part]})" if part in self.left_out else ""

    def path(self, name: str) -> Path:
        """The path of a file, which is as in the manifest. Raises BundleError that says how to get it."""
        if name in self.files and not (self.folder / name).exists():
            part = name.partition("/")[0]
            raise BundleError(
                f"{self.folder} lacks {name}: download it with "
                f"`limbeck download CHECKPOINT --parts {part} --out {self.folder}`"
            )
        return verified_path(self.folder, name, self.files)

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object of the bundle."""
        try:
            value = json.loads(self.path(name).read_bytes())
        except ValueError as error:
            if isinstance(error, BundleError):
                raise
            raise BundleError(f"{self.folder / name} is not JSON: {error}") from None
        if not isinstance(value, dict):
            raise BundleError(f"{self.folder / name} must be a JSON object")
        return value

    def labels(self, among: Among) -> tuple[list[str], list[int]]:
        """The K labels of the bundle, and the positions of the candidates. Raises BundleError if there are none."""
        entries = self.json("targets/labels.json").get("labels", [])
        try:
            labels = unique_names([(str(entry["label"]), entry.get("sense")) for entry in entries])
            chosen = [position for position, entry in enumerate(entries) if entry.get("part") in _PARTS[among]]
        except (TypeError, KeyError, AttributeError):
            raise BundleError(f"{self.folder}/targets/labels.json has entries that are no labels") from None
        if not chosen:
            raise BundleError(f"{self.folder} has no {'' if among == 'all' else among + ' '}labels")
        return labels, chosen

    def targets(self, num_labels: int, width: int) -> Floats:
        """The text targets (K, D). Raises BundleError if they do not belong to the labels and the student."""
        name = "targets/text_targets.safetensors"
        features = self._features(name)
        if features.shape != (num_labels, width):
            raise BundleError(
                f"{self.folder / name} has the shape {features.shape}, but there are "
                f"{counted(num_labels, 'label')} and the "
                f"student has the width {width}: the files are of different bundles, download them again"
            )
        return features

    def outlier_targets(self, width: int) -> Floats:
        """The text features (M, D) of look-alikes. Raises ScoreMissing without them, and BundleError for others."""
        if OUTLIERS_FILE not in self.files:
            raise ScoreMissing(
                f"{self.folder} has no look-alikes for the score outliers: train with an attribute set that names them "
                "(limbeck enrich VOCABULARY --strategies sentence,outliers) and 20 held-out images or more, or add "
                "them in a checkout by python -m distill evaluate BUNDLE --images IMAGES --outliers FILE --save"
            )
        features = self._features(OUTLIERS_FILE)
        if not len(features) or features.shape[1:] != (width,):
            raise BundleError(
                f"{self.folder / OUTLIERS_FILE} has the shape {features.shape}, but the student has the width {width}: "
                "the files are of different bundles, download them again"
            )
        return features

    def _features(self, name: str) -> Floats:
        return safetensors_array(self.path(name).read_bytes(), "features", str(self.folder / name))

    def is_multi_label(self) -> bool:
        """Whether the images of the training have several labels each."""
        return bool(self._measured("multi_label"))

    def label_threshold(self) -> LabelThreshold | None:
        """The threshold of a multi-label student; None if it was measured on too few images, and for another one."""
        found = (self._measured("multi_label") or {}).get("threshold")
        if not found:
            return None
        try:
            decisions = found["decisions"]
            return LabelThreshold(
                float(found["threshold"]),
                float(found["slope"]),
                float(found["intercept"]),
                float(decisions["precision"]),
                float(decisions["recall"]),
                int(found["num_images"]),
            )
        except (TypeError, KeyError, ValueError):
            raise BundleError(f"{self.folder}/evaluation.json has a multi_label that has no threshold") from None

    def _measured(self, name: str) -> Any:
        """A part of the evaluation; None if the bundle does not have it."""
        return self.json("evaluation.json").get(name) if "evaluation.json" in self.files else None

    def none_of_these(self, score: OpenSetScore = "cosine") -> NoneOfThese | None:
        """The threshold of a score that was chosen on held-out images; None if the bundle has none."""
        field = "none_of_these" if score == "cosine" else "none_of_these_by_score"
        found = self._measured(field)
        try:
            found = found if score == "cosine" else (found or {}).get(score)
            if not found:
                return None
            num_images = int(found.get("num_images", 0)) or None
            return NoneOfThese(float(found["threshold"]), float(found["false_alarm_rate"]), num_images, score)
        except (TypeError, KeyError, ValueError, AttributeError):
            raise BundleError(f"{self.folder}/evaluation.json has a {field} that is no threshold") from None

    def text_config(self) -> TextTowerConfig:
        """The text tower of the bundle. Raises BundleError that says how to get it if it is missing."""
        text = self.config.get("text")
        if TEXT_GRAPH not in self.files or not text:
            raise BundleError(
                f"{self.folder} has no {TEXT_GRAPH}, which encodes new labels{self.reason('text.onnx')}; add it in a "
                f"checkout: python -m distill export {self.folder} --text"
            )
        try:
            templates = tuple(text["templates"])
            if not templates or any(template.count("{}") != 1 for template in templates):
                raise ValueError("its templates need {} once")
            return TextTowerConfig(
                int(text["context_length"]),
                int(text["pad_id"]),
                templates,
                int(text.get("unescape_html") or 0),
                int(text.get("learned_vectors") or 0),
            )
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise BundleError(f"{self.folder / CONFIG} has a text tower that cannot be used: {error!r}") from None


def safetensors_array(data: bytes, name: str, place: str) -> Floats:
    """A float32 tensor of a safetensors file. Raises BundleError, naming the `place`, for another content."""
    try:
        length = int.from_bytes(data[:_LENGTH_BYTES], "little")
        start = _LENGTH_BYTES + length
        entry = json.loads(data[_LENGTH_BYTES:start])[name]
        if entry["dtype"] != "F32":
            raise ValueError(f"{name} has the type {entry['dtype']}, not F32")
        first, end = entry["data_offsets"]
        array: Floats = np.frombuffer(data[start + first : start + end], dtype="<f4").reshape(entry["shape"])
        return array
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{place} is not a safetensors file with {name} ({error})") from None
