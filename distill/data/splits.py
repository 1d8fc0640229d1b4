"""Split specifications, and the rules that choose ID labels, OOD labels and held-out images.

A split is by class, as in arXiv:2307.03135: images of ID labels are `train` or `held_out`, images of OOD labels are
`ood`, and no label is both. The rules depend only on the seed and on the names, not on the order in which the disk
lists them. Imports no torch.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field, TypeAdapter, model_validator

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Part = Literal["train", "held_out", "ood", "unlabelled"]
PARTS: tuple[Part, ...] = ("train", "held_out", "ood", "unlabelled")
LABELLED_PARTS = PARTS[:3]
NO_LABEL, LABEL_SET = -1, -2
"""The label index of an unlabelled image, and of an image of a multi-label dataset, which has a set of labels.

Both are no index, so that code for one label an image cannot take the first of several by mistake.
"""

TRAIN_NAMES = ("train", "training", "trainset", "train_set", "training_set", "trainval", "train2017", "train2014")
MEASURED_NAMES = (
    *("val", "valid", "validation", "val_set", "valid_set", "validation_set"),
    *("test", "testing", "test_set", "testset", "eval", "dev", "val_on_train", "held_out", "ood"),
)
"""Names of parts in layouts, in lower case: for training, and to measure on."""

MAX_LISTED = 100_000
"""Labels that a split may list."""

Fraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class _Split(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BySeed(_Split):
    """Random split of the labels by `seed`: `id_fraction` are ID; `held_out` of each ID label's images are held out."""

    by: Literal["seed"] = "seed"
    seed: int = Field(default=0, ge=0, lt=2**63)
    id_fraction: float = Field(default=0.5, gt=0, le=1, allow_inf_nan=False)
    held_out: Fraction = 0.3


class ByList(_Split):
    """ID and OOD labels by name; folders of other labels are ignored."""

    by: Literal["list"]
    id: Annotated[tuple[str, ...], FailFast()] = Field(min_length=1, max_length=MAX_LISTED)
    ood: Annotated[tuple[str, ...], FailFast()] = Field((), max_length=MAX_LISTED)
    held_out: Fraction = 0.3
    seed: int = Field(default=0, ge=0, lt=2**63)


class ByParts(_Split):
    """The parts that the layout gives: part folders, a column of a table, or the lists of a published dataset.

    Images outside training are held out if their label has training images, else OOD. `val_on_train/` beside `val/`
    (arXiv:2307.03135) is held out, and `val/` then holds only OOD labels. `folders` is the older name of `parts`.
    """

    by: Literal["parts", "folders"]
    measure: tuple[str, ...] = Field((), max_length=20, description="Parts to measure on; empty: all but training.")


class AllImages(_Split):
    """All images in one part: `train` for a student to be delivered without measurement, `test` for evaluation only."""

    by: Literal["all"]
    part: Literal["train", "test"] = "train"


class ByImageLists(_Split):
    """Text files below the root with one image path per line, relative to the root; the image's folder is its label."""

    by: Literal["image_lists"]
    train: str
    held_out: str | None = None
    ood: str | None = None

    @model_validator(mode="after")
    def _has_evaluation_list(self) -> "ByImageLists":
        if self.held_out is None and self.ood is None:
            raise ValueError("give held_out or ood: without either there is nothing to measure on")
        return self


Split = BySeed | ByList | ByParts | ByImageLists | AllImages
SplitSpec = Annotated[Split, Field(discriminator="by")]
SPLIT: TypeAdapter[Split] = TypeAdapter(SplitSpec)


def random_id_split(
    label_indices: Iterable[int], labels: Sequence[str], *, seed: int, id_fraction: float
) -> tuple[list[int], list[int]]:
    """ID and OOD labels, as indices into `labels`: `id_fraction` of `label_indices` are ID, and at least two."""
    shuffled = sorted(label_indices, key=lambda at: _seeded_rank(seed, "label", labels[at], str(at)))
    # Classification needs at least two labels, so a small set keeps two for training.
    num_id = max(min(2, len(shuffled)), int(len(shuffled) * id_fraction + 0.5))
    return shuffled[:num_id], shuffled[num_id:]


def held_out_positions(paths: Collection[str], *, fraction: float, seed: int) -> "npt.NDArray[np.int64]":
    """The positions of the images of one label to hold out: `fraction` of `paths`, at least one if `fraction` > 0,
    never all.
    """
    import numpy as np  # the API does not load it at start

    num_held_out = min(max(int(len(paths) * fraction + 0.5), 1 if fraction > 0 else 0), len(paths) - 1)
    if num_held_out < 1:
        return np.empty(0, np.int64)
    before = f"{seed}\0image\0".encode()
    # As `_seeded_rank`, without its calls for ten million images. Of a sha256, 128 bits are order enough.
    hashes = (hashlib.sha256(before + path.encode("utf-8", "surrogateescape")) for path in paths)
    ranks = np.frombuffer(b"".join(one.digest()[:16] for one in hashes), ">u8").reshape(-1, 2)
    positions: npt.NDArray[np.int64] = np.lexsort((ranks[:, 1], ranks[:, 0]))[:num_held_out]
    return positions


def _seeded_rank(seed: int, *parts: str) -> bytes:
    # A hash instead of a shuffle: an added label or image does not change the order of the others.
    return hashlib.sha256("\0".join([str(seed), *parts]).encode("utf-8", "surrogateescape")).digest()
