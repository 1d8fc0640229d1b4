"""Images decoded once to uint8 at the training resolution, and cached as one memory-mapped array.

The whole image is squashed to the stored size (bicubic or bilinear, antialiased), as in the code of arXiv:2307.03135
(bilinear): 256 for a student of 224 px, in proportion above 96 px, and the student's own size up to 96 px, because
datasets of small images are mostly stored at that size and a margin would only blur them. An image that already has
that size is kept to the bit. The array is named by a digest of the file contents, so a second run on the same images
finds it; it is written atomically. N images, S and T height and width of the stored images in pixels, equal for a
square student.
"""

import errno
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from distill.config.image_size import ImageSize, Size
from distill.config.image_size import train_size as train_size
from distill.data.atomic_files import mark_used, replacing, write_bytes
from distill.data.image_store import Mask, load_image, read_images
from distill.data.row_cache import Keys, key_of, stack_keys
from distill.hooks import PipelineHooks, logging_hooks
from limbeck.shared.images.background import WHITE
from limbeck.shared.images.extreme_shapes import shortened
from limbeck.shared.images.file_names import shown_path

FORMAT = "limbeck pixels 1: squashed, bicubic"
INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
ABANDONED_S = 24 * 3600

Pixels = npt.NDArray[np.uint8]


class PixelRows(Protocol):
    """Images by position, (N, S, T, 3) uint8: an array in memory or on disk, or `OnDemandPixels`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Pixels: ...


class ImagesError(RuntimeError):
    """Images cannot be decoded or stored; the message gives the reason and the fix."""


def eval_size(image_px: Size, test_crop: float) -> ImageSize:
    """Size of the stored images for evaluation: the centre crop of `image_px` is the share `test_crop` of each side.

    Rounded down, as in timm's transform, with which the model card and `limbeck classify` use the student.
    """
    size = ImageSize.of(image_px)
    return ImageSize(math.floor(size.height / test_crop), math.floor(size.width / test_crop))


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Decoded images. `pixels`: (N, S, T, 3) uint8, memory-mapped or decoded on access; zeros for a bad file.

    `bad`: reason by position. `digest`: of all images and their preprocessing. `contents`: (N, 32), the digest of each
    image (`distill.data.image_store`).
    """

    pixels: PixelRows
    bad: Mapping[int, str]
    digest: str
    contents: Keys

    def usable(self) -> npt.NDArray[np.int64]:
        """Positions of the images that could be decoded, ascending."""
        good = np.ones(len(self.pixels), dtype=np.bool_)
        good[list(self.bad)] = False
        return np.flatnonzero(good)


class OnDemandPixels:
    """Images (N, S, T, 3) decoded on access, with the same values as the array on disk.

    `contents`: (N, 32), the digest of each image when it was first read. Access raises ImagesError, naming the file, if
    a file has changed since.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        contents: Keys,
        size: ImageSize,
        num_workers: int,
        background: str = WHITE,
        interpolation: str = "bicubic",
    ) -> None:
        self._paths, self._contents, self._size, self._num_workers = paths, contents, size, num_workers
        self._background, self._interpolation = background, interpolation

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._paths), *self._size, 3)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, rows: npt.NDArray[np.int64], /) -> Pixels:
        pixels: Pixels = np.zeros((len(rows), *self.shape[1:]), dtype=np.uint8)

        def fill(at: int) -> None:
            row = int(rows[at])
            file = load_image(self._paths[row], self._background)
            if file.digest != self._contents[row].tobytes():
                raise ImagesError(
                    f"{shown_path(self._paths[row])} was changed during the run ({file.reason or 'other content'}): "
                    "restore the file, or start a new run"
                )
            if file.image is not None:
                pixels[at] = squash(file.image, self._size, self._interpolation)

        with ThreadPoolExecutor(self._num_workers, "decode") as pool:
            for _ in pool.map(fill, range(len(rows))):
                pass
        return pixels


class PixelArray:
    """Stores the decoded images of a pass (`distill.data.image_store`) as one array, unless `cache` has it already.

    If the images take more than `decoded_gb`, no array is stored: the pass finds their digests and the bad ones, and
    `num_workers` threads decode them again on each access, on the same `background` as in the pass.
    """

    unit = "pictures"

    def __init__(
        self,
        paths: Sequence[Path],
        image_px: Size,
        *,
        cache: Path,
        num_workers: int,
        decoded_gb: float = math.inf,
        background: str = WHITE,
        interpolation: str = "bicubic",
    ) -> None:
        self._paths, self._size, self._num_workers = paths, ImageSize.of(image_px), num_workers
        self._background, self._interpolation = background, interpolation
        self._folder = cache / "pixels"
        self._store_array = len(paths) * self._size.num_pixels * 3 <= decoded_gb * 1e9
        self._found: DecodedImages | None = None
        self._digests: list[bytes] = []
        self._bad: dict[int, str] = {}
        self._draft: _ArrayDraft | None = None

    def begin(self, digests: Keys, known: Mask) -> Mask:
        """All images, or none if their array is found."""
        if known.all() and len(known):
            self._found = self._find(digests)
        if self._found is None and self._store_array:
            self._draft = _ArrayDraft(self._folder, len(self._paths), self._size)
        return np.full(len(known), self._found is None)

    def wants(self, digest: bytes) -> bool:
        return True

    def derive(self, image: Image.Image) -> Pixels:
        """The image squashed to the stored size."""
        return squash(image, self._size, self._interpolation)

    def accept(self, row: int, digest: bytes, derived: Pixels | None, reason: str) -> None:
        self._digests.append(digest)
        if derived is None:
            self._bad[row] = reason
        if self._draft is not None:
            self._draft.append(derived)

    def finish(self) -> None:
        """Write the list of bad files, then the array, under the key of the contents."""
        if self._found is not None:
            return
        contents = stack_keys(self._digests)
        key = _key(self._size, contents, self._interpolation)
        write_bytes(self._folder / f"{key}.json", json.dumps({"bad": self._bad}).encode())
        if self._draft is not None:  # the array is written last, so wherever it exists the JSON file does too
            self._draft.move_to(self._folder / f"{key}.npy")
        self._found = self._find(contents)
        if self._found is None:
            raise ImagesError(
                f"the decoded images were deleted from {self._folder}: stop the process that cleans it up"
            )

    def close(self) -> None:
        if self._draft is not None:
            self._draft.close()

    def images(self, hooks: PipelineHooks) -> DecodedImages:
        """The decoded images after the pass. Reports the bad ones, in every run."""
        assert self._found is not None  # the pass has ended
        for row, reason in self._found.bad.items():
            hooks.bad_image(self._paths[row], reason)
        return self._found

    def _find(self, contents: Keys) -> DecodedImages | None:
        key = _key(self._size, contents, self._interpolation)
        pixels: PixelRows
        try:
            notes = json.loads((self._folder / f"{key}.json").read_text(encoding="utf-8"))
            array = np.load(self._folder / f"{key}.npy", mmap_mode="r")
            if array.shape != (len(contents), *self._size, 3) or array.dtype != np.uint8:
                return None
            pixels = array
            mark_used(self._folder / f"{key}.json")
            mark_used(self._folder / f"{key}.npy")
        except FileNotFoundError as error:
            if self._store_array or error.filename.endswith(".json"):
                return None
            pixels = OnDemandPixels(
                self._paths, contents, self._size, self._num_workers, self._background, self._interpolation
            )
        except ValueError:
            return None
        return DecodedImages(pixels, {int(at): reason for at, reason in notes["bad"].items()}, key, contents)


def decode_images(
    paths: Sequence[Path],
    image_px: Size,
    *,
    cache: Path,
    num_workers: int = 4,
    decoded_gb: float = math.inf,
    background: str = WHITE,
    interpolation: str = "bicubic",
    hooks: PipelineHooks | None = None,
) -> DecodedImages:
    """Decode the images of `paths` at `image_px`, or find them in `cache` if these contents were decoded before.

    Options as of `PixelArray`. Without `hooks`, bad images are logged. Raises Stopped, and ImagesError if the disk is
    full.
    """
    hooks = hooks or logging_hooks()
    pixels = PixelArray(
        paths,
        image_px,
        cache=cache,
        num_workers=num_workers,
        decoded_gb=decoded_gb,
        background=background,
        interpolation=interpolation,
    )
    read_images(paths, [pixels], cache=cache, num_workers=num_workers, hooks=hooks, background=background)
    return pixels.images(hooks)


class _ArrayDraft:
    """An array (N, S, T, 3) on disk that is written image by image into a temporary folder, then moved."""

    def __init__(self, folder: Path, num_images: int, size: ImageSize) -> None:
        """Raises ImagesError if the disk has too little space."""
        folder.mkdir(parents=True, exist_ok=True)
        _drop_abandoned(folder)
        _require_space(folder, num_images * size.num_pixels * 3)
        self._size = size
        self._work = folder / f"drafts-{os.getpid()}-{uuid.uuid4().hex}"
        self._work.mkdir()
        self._out = (self._work / "pixels.npy").open("wb")
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._out, {**header, "shape": (num_images, *size, 3)})

    def append(self, pixels: Pixels | None) -> None:
        """Write the next image; zeros for a bad one. Raises ImagesError if the disk is full."""
        try:
            self._out.write(bytes(self._size.num_pixels * 3) if pixels is None else np.ascontiguousarray(pixels).data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise ImagesError("the disk is full: move the cache, or lower image_px") from error

    def move_to(self, path: Path) -> None:
        """Make the complete array available under its name."""
        self._out.close()
        with replacing(path) as draft:
            os.replace(self._work / "pixels.npy", draft)

    def close(self) -> None:
        """Remove what was not moved."""
        self._out.close()
        shutil.rmtree(self._work, ignore_errors=True)


def _key(size: ImageSize, contents: Keys, interpolation: str) -> str:
    return key_of(
        FORMAT.replace("bicubic", interpolation), str(size), *(content.tobytes() for content in contents)
    ).hex()[:32]


def squash(image: Image.Image, size: ImageSize, interpolation: str = "bicubic") -> Pixels:
    """The image (S, T, 3) resized to `size`; its aspect ratio is not kept."""
    if image.size != (size.width, size.height):
        image = shortened(image, size.height).resize((size.width, size.height), INTERPOLATIONS[interpolation])
    return np.asarray(image)


def _require_space(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if num_bytes > free:
        raise ImagesError(
            f"decoded images take {num_bytes / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free: "
            f"move the cache, lower image_px, or set decoded_gb below that to decode them in every pass"
        )


def _drop_abandoned(folder: Path) -> None:
    """Remove drafts of killed processes that have not been written to for a day."""
    for draft in folder.glob("drafts-*/pixels.npy"):
        if time.time() - draft.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(draft.parent, ignore_errors=True)
