"""Encodes views of images while they are decoded, without an array of pixels: for a range of images, or a few.

`distill.teacher.views.view_features` encodes from the decoded images of a training. Here each image is squashed to the
teacher's size, cut and encoded as it arrives, with the same functions and in batches of the same size, so that both
give the same bits. N images, V views of each, B views in a batch, D embedding width, T side of the teacher's images.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from distill.config.image_size import ImageSize
from distill.data.counter_rng import Ints
from distill.data.crops import SharedViews, Views
from distill.data.decoded_images import Pixels, squash
from distill.data.image_store import FileContents, Mask
from distill.data.row_cache import KEY_BYTES, Keys, stack_keys
from distill.hooks import PipelineHooks
from distill.teacher.image_features import CPU_BATCH, FLUSH_EVERY_ROWS, GPU_BATCH, Features, encode_rows
from distill.teacher.teacher import Teacher
from distill.teacher.views.view_features import teacher_inputs, teacher_side_px, view_cache, view_keys

MOST = 0.9
"""Share of the features that `has_most_views` requires."""


class ViewEncoder:
    """Encodes the views of the images of a pass (`distill.data.image_store`) that have no feature in `cache`.

    `shared`: how the views are sampled. Raises TeacherError if the teacher's input is not square.
    """

    unit = "images"

    def __init__(
        self, teacher: Teacher, paths: Sequence[Path], shared: SharedViews, *, cache: Path, hooks: PipelineHooks
    ) -> None:
        self._teacher, self._paths, self._shared, self._hooks = teacher, paths, shared, hooks
        self._side = ImageSize.of(teacher_side_px(teacher))
        self._batch_size = GPU_BATCH if teacher.device.type == "cuda" else CPU_BATCH
        self._store = view_cache(teacher, cache)
        self._digests: Keys = np.zeros((len(paths), KEY_BYTES), dtype=np.uint8)
        self._bad = np.zeros(len(paths), dtype=np.bool_)
        self._claimed: set[bytes] = set()
        self._waiting: list[tuple[bytes, Pixels]] = []  # views that are not encoded yet are those of the last images
        self._num_encoded = 0  # views of the first waiting image that are encoded
        self._new: list[tuple[Keys, Features]] = []

    def begin(self, digests: Keys, known: Mask) -> Mask:
        """The images without cached features of all their views."""
        self._digests[known] = digests[known]
        needed: Mask = np.logical_not(known)
        needed[known] = ~self._found(digests[known])
        return needed

    def _found(self, digests: Keys) -> Mask:
        """Whether all views of each image (N,) have a feature."""
        if len(digests) == 0:
            return np.zeros(0, dtype=np.bool_)
        found = self._store.open(self._keys(digests, self._shared.of(digests))).found
        all_found: Mask = np.logical_and.reduce(found.reshape(len(digests), -1), axis=1)
        return all_found

    def wants(self, digest: bytes) -> bool:
        return True

    def derive(self, image: Image.Image) -> Pixels:
        """The image squashed to the size that the teacher's views are cut from."""
        return squash(image, self._side)

    def accept(self, row: int, digest: bytes, derived: Pixels | None, reason: str) -> None:
        """Encode the views of the image with those of others; raises TeacherError if they are not finite."""
        self._digests[row] = np.frombuffer(digest, dtype=np.uint8)
        if derived is None:
            self._bad[row] = True
            self._hooks.bad_image(self._paths[row], reason)
        elif digest not in self._claimed:
            self._claimed.add(digest)
            self._waiting.append((digest, derived))
            if len(self._waiting) * self._shared.num_views - self._num_encoded >= self._batch_size:
                self._encode(is_last=False)

    def finish(self) -> None:
        self._encode(is_last=True)
        self._flush()

    def close(self) -> None:
        self._flush()

    def views(self) -> Views:
        """The views of all images after the pass."""
        return self._shared.of(self._digests)

    def features(self) -> tuple[Tensor, Ints]:
        """The features (N, V, D) float16 after the pass, zeros for a bad image, and the rows of the bad images."""
        good = np.flatnonzero(~self._bad)
        views = self.views()
        rows, found = self._store.get(self._keys(self._digests[good], views.take(good)))
        if not found.all():
            raise OSError(f"the cache {self._store.folder} was emptied during the run: start the run again")
        features: Features = np.zeros((*views.flips.shape, self._teacher.width), dtype=np.float16)
        features[good] = rows.reshape(len(good), *features.shape[1:])
        return torch.from_numpy(features), np.flatnonzero(self._bad)

    def _encode(self, *, is_last: bool) -> None:
        """Encode the waiting views in full batches; the last batch may be smaller."""
        if not self._waiting:
            return
        digests = stack_keys(digest for digest, _ in self._waiting)
        views, num_views = self._shared.of(digests), self._shared.num_views
        at = np.arange(self._num_encoded, len(self._waiting) * num_views)
        while len(at) >= self._batch_size or (is_last and len(at)):
            batch, at = at[: self._batch_size], at[self._batch_size :]
            images, view = batch // num_views, batch % num_views
            distinct, place = np.unique(images, return_inverse=True)
            pixels = torch.from_numpy(np.stack([self._waiting[image][1] for image in distinct]))[
                torch.from_numpy(place)
            ]
            of_batch = views.take((images, view))
            prepared = teacher_inputs(self._teacher, pixels, of_batch, self._shared.image_px)
            rows = encode_rows(self._teacher, prepared, self._batch_size)
            one_view = of_batch.take((slice(None), None))
            self._new.append((self._keys(digests[images], one_view), rows))
        first = int(at[0]) if len(at) else len(self._waiting) * num_views
        self._num_encoded = first % num_views
        del self._waiting[: first // num_views]
        if sum(len(rows) for _, rows in self._new) >= FLUSH_EVERY_ROWS:
            self._flush()

    def _keys(self, digests: Keys, views: Views) -> Keys:
        return view_keys(digests, views, self._shared.image_px)

    def _flush(self) -> None:
        if self._new:
            keys, rows = zip(*self._new, strict=True)
            self._store.add(np.concatenate(keys), np.concatenate(rows))
            self._new = []


def has_most_views(teacher: Teacher, paths: Sequence[Path], shared: SharedViews, background: str, cache: Path) -> bool:
    """Whether so few features are missing in `cache` that the images need not be decoded at the teacher's size."""
    digests, known = FileContents(cache, background).known(paths)
    if known.mean() < MOST:
        return False
    found = view_cache(teacher, cache).open(view_keys(digests, shared.of(digests), shared.image_px)).found
    return bool(found.mean() >= MOST)
