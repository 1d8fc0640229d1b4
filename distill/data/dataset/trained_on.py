"""What a student was trained on: its labels, and the contents of its training images. Imports no torch.

A bundle records both: `targets/labels.json` has the part of each label, `training_images.safetensors` the first 8 bytes
of the sha256 of each training image. If the training started from the student of another bundle, the second file also
has that student's images, and its labels in the metadata. With them, an evaluation on any dataset knows which of its
labels the student saw, and leaves out the images that it was trained on. N images.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from distill.data.atomic_files import replacing
from distill.data.dataset.label_matcher import LabelMatcher
from distill.data.image_index import ImageIndex, Item
from distill.data.row_cache import Keys
from limbeck.shared.labels import readings, unique_names

IMAGES_FILE = "training_images.safetensors"
LABELS_FILE = "targets/labels.json"
_TENSOR = "sha256_prefixes"
_LABELS = "earlier_labels"  # in the metadata of the file

Prefixes = npt.NDArray[np.uint64]


class TrainedOnError(ValueError):
    """The record of a bundle cannot be read; the message names the file."""


@dataclass(frozen=True, eq=False)
class TrainedOn:
    """The training of a student. `labels`: the names that it was trained on, with senses where names are shared.

    `images`: the contents of its training images; None for a bundle that does not record them.
    """

    labels: tuple[str, ...]
    images: Prefixes | None = None

    def contains(self, contents: Keys) -> npt.NDArray[np.bool_]:
        """Whether each image (N,) was trained on, by its sha256 (N, 32)."""
        if self.images is None:
            return np.zeros(len(contents), dtype=np.bool_)
        return np.isin(image_prefixes(contents), self.images)

    def split(self, image_index: ImageIndex) -> ImageIndex:
        """The images to measure on: held out if the student saw their label, or all of their labels, else OOD.

        Neither training images nor unlabelled images are among them. An OOD image of a multi-label dataset keeps a seen
        label only if a held-out image has it too: without one, the label is not measured.
        """
        seen = self.seen(image_index.labels)
        if image_index.label_sets is not None:
            return _split_sets(image_index, frozenset(seen))
        return ImageIndex.of(
            image_index.root,
            image_index.labels,
            (
                Item(item.path, item.label, "held_out" if item.label in seen else "ood")
                for item in image_index
                if item.part in ("held_out", "ood")
            ),
        )

    def seen(self, labels: Sequence[str]) -> Collection[int]:
        """The positions of the labels that the student was trained on.

        A label counts as trained on if its name matches one of the student's by the rules of folders, with or without
        its sense.
        """
        whole = LabelMatcher(self.labels)
        without_sense = LabelMatcher([name for label in self.labels for name in _names(label)])

        def is_seen(label: str) -> bool:
            # `crane` matches `crane (bird)` and the reverse; `crane (machine)` is another label than `crane (bird)`.
            return bool(whole.find(label) or without_sense.find(label) or any(map(whole.find, _names(label))))

        return {at for at, label in enumerate(labels) if is_seen(label)}


def _split_sets(image_index: ImageIndex, seen: frozenset[int]) -> ImageIndex:
    """The measured images of a multi-label dataset as of `TrainedOn.split`."""
    measured = [item for item in image_index if item.part in ("held_out", "ood")]
    held_out = [item for item in measured if seen.issuperset(item.labels)]
    kept = {label for item in held_out for label in item.labels}
    items = []
    for item in measured:
        if seen.issuperset(item.labels):
            items.append(item._replace(part="held_out"))
        else:
            labels = tuple(label for label in item.labels if label in kept or label not in seen)
            items.append(item._replace(part="ood", labels=labels))
    return ImageIndex.of(image_index.root, image_index.labels, items)


def _names(label: str) -> list[str]:
    """The names that a label `name (sense)` can have; empty for a label without brackets."""
    return [name for name, sense in readings(label) if sense is not None]


def image_prefixes(contents: Keys) -> Prefixes:
    """The first 8 bytes of each sha256 (N, 32), as numbers (N,)."""
    prefixes: Prefixes = np.ascontiguousarray(contents[:, :8]).view(">u8").reshape(-1).astype(np.uint64)
    return prefixes


def save_contents(path: Path, contents: Keys) -> None:
    """Write the contents of a dataset's images, by which `count_changed` finds later changes. sha256 (N, 32)."""
    save_training_images(path, contents)


def count_changed(path: Path, contents: Keys) -> int:
    """How many of these images (N, 32) are not among those that `save_contents` wrote. Raises TrainedOnError."""
    images, _ = _read_training_images(path)
    return int((~np.isin(image_prefixes(contents), images)).sum())


def save_training_images(path: Path, contents: Keys, earlier: TrainedOn | None = None) -> None:
    """Write the record of training images (N, 32), in the order of their numbers.

    `earlier`: what the student had been trained on before this training.
    """
    images = image_prefixes(contents)
    if earlier is not None and earlier.images is not None:
        images = np.concatenate([images, earlier.images])
    metadata = None if earlier is None else {_LABELS: json.dumps(earlier.labels)}
    with replacing(path) as draft:
        save_file({_TENSOR: np.unique(images)}, draft, metadata=metadata)


def read_trained_on(bundle: Path) -> TrainedOn:
    """The record of the bundle in a folder, or of a download with `targets/`. Raises TrainedOnError."""
    try:
        entries = json.loads((bundle / LABELS_FILE).read_text(encoding="utf-8"))["labels"]
        pairs = [(str(entry["label"]), entry.get("sense")) for entry in entries]
        parts = [entry.get("part") for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainedOnError(f"{bundle / LABELS_FILE} cannot be read: {error}") from None
    labels = tuple(name for name, part in zip(unique_names(pairs), parts, strict=True) if part == "id")
    path = bundle / IMAGES_FILE
    if not path.exists():
        return TrainedOn(labels)
    images, earlier = _read_training_images(path)
    return TrainedOn(tuple(dict.fromkeys((*labels, *earlier))), images)


def _read_training_images(path: Path) -> tuple[Prefixes, list[str]]:
    """The images and the earlier labels that `save_training_images` wrote. Raises TrainedOnError."""
    try:
        with safe_open(path, framework="numpy") as file:
            earlier: list[str] = json.loads((file.metadata() or {}).get(_LABELS, "[]"))
            images: Prefixes = file.get_tensor(_TENSOR)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainedOnError(f"{path} cannot be read: {error}") from None
    return images, earlier
