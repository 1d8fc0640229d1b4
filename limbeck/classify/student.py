"""A student of a bundle, ready to classify: loading, embedding, and scores of labels. Needs no torch.

A confidence is the softmax over the candidate labels at the student's training temperature. A student of images with
several labels judges each label by itself: an image has all labels above one threshold of the cosine, and a confidence
is the probability of one label. N images, B of a batch, K
labels, D embedding width; C, H, W channels, height and width of the student's input.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from PIL import Image

from limbeck.classify.bundle import (
    CONFIG,
    IMAGE_GRAPH,
    Among,
    Bundle,
    Floats,
    LabelThreshold,
    NoneOfThese,
    ScoreMissing,
)
from limbeck.classify.open_set import open_set_score
from limbeck.classify.preprocessing import ImageTransform
from limbeck.classify.sessions import Graph, num_cpus
from limbeck.shared.bundle.files import BundleError
from limbeck.shared.bundle.open_set import OpenSetScore
from limbeck.shared.images.decode import open_rgb
from limbeck.shared.images.file_names import shown_path
from limbeck.shared.images.unreadable import UnreadableImage

if TYPE_CHECKING:
    from limbeck.classify.text_encoder import OnProgress

BATCH, TOP = 32, 3
READ_AHEAD = 2 * BATCH

ImageSource: TypeAlias = str | Path | bytes | Image.Image
"""A path, the content of an image file, or an RGB image."""
ItemT = TypeVar("ItemT")
SourceT = TypeVar("SourceT", bound=ImageSource)


class ImageError(ValueError):
    """An image that cannot be read; the message says why, in one line."""


@dataclass(frozen=True)
class ScoredLabel:
    """A label and its confidence, 0 to 1; unless images have several labels, those of all candidates add up to 1."""

    label: str
    confidence: float


@dataclass(frozen=True)
class Classification:
    """The best labels of an image, best first. `cosine`: the largest one that the student's threshold is compared with.

    `none_of_these`: whether it is below the threshold, so that no label fits; None without a threshold. Of a
    multi-label student `labels` are all labels above its threshold, and `nearest` the best label if there are none.
    `score`: what the threshold is compared with instead, of a student with another score than the cosine.
    """

    labels: tuple[ScoredLabel, ...]
    cosine: float
    none_of_these: bool | None
    nearest: ScoredLabel | None = None
    score: float | None = None


@dataclass(frozen=True, eq=False)
class LoadedStudent:
    """A student with candidate labels.

    `targets`: (K, D), the text targets of `labels`. `known_targets`: of all labels that the threshold of
    `none_of_these` is about, which are more than the candidates if these are `seen` or `unseen`. `is_multi_label`:
    whether an image can have several labels; those above `label_threshold`. `score`: by which an image is none of
    these; `outlier_targets` (M, D): text features of the look-alikes that the score `outliers` needs.
    """

    bundle: Bundle
    graph: Graph
    transform: ImageTransform
    temperature: float
    labels: tuple[str, ...]
    targets: Floats
    known_targets: Floats
    none_of_these: NoneOfThese | None
    is_multi_label: bool = False
    label_threshold: LabelThreshold | None = None
    score: OpenSetScore = "cosine"
    outlier_targets: Floats | None = None

    def with_labels(
        self, labels: Sequence[str], on_progress: "OnProgress | None" = None, *, cache: Path | None = None
    ) -> "LoadedStudent":
        """The same student with other candidate labels, encoded by the text tower of the bundle.

        It has no threshold of `none_of_these`, because that of the bundle was chosen for the bundle's labels; that of a
        multi-label student serves every label. `cache`: a folder that keeps the text targets
        (`limbeck.classify.target_cache`). Raises BundleError without a text tower, and ValueError without labels.
        """
        from limbeck.classify.target_cache import cached_targets

        if not labels:
            raise ValueError("there are no labels")

        def encode() -> Floats:
            from limbeck.classify.text_encoder import TextEncoder

            return TextEncoder(self.bundle).targets(labels, on_progress)

        targets = cached_targets(cache, self.bundle, labels, encode)
        if targets.shape[1] != self.targets.shape[1]:
            raise BundleError(
                f"the text tower of {self.bundle.folder} has the width {targets.shape[1]}, and its student has "
                f"{self.targets.shape[1]}: the files are of different bundles, download them again"
            )
        return replace(self, labels=tuple(labels), targets=targets, known_targets=targets, none_of_these=None)

    def with_score(self, score: OpenSetScore, *, needs_threshold: bool = True) -> "LoadedStudent":
        """The same student, which says "none of these" by another score, with the bundle's threshold of that score.

        `needs_threshold`: whether a bundle without that threshold is an error. Raises ScoreMissing for such a bundle,
        for the score `outliers` without look-alikes, and for a multi-label student, which judges labels one by one.
        """
        if self.is_multi_label and score != "cosine":
            raise ScoreMissing(
                f"{self.bundle.folder} is of images with several labels, each of which is judged by its cosine: leave "
                "the score out"
            )
        outliers = self.bundle.outlier_targets(self.targets.shape[1]) if score == "outliers" else None
        threshold = self.bundle.none_of_these(score)
        if threshold is None and needs_threshold:
            more = " --outliers FILE" if score == "outliers" else ""
            raise ScoreMissing(
                f"{self.bundle.folder} has no threshold of the score {score}: add it in a checkout by "
                f"python -m distill evaluate BUNDLE --images IMAGES{more} --save, with 20 held-out images or more"
            )
        return replace(self, score=score, none_of_these=threshold, outlier_targets=outliers)

    def with_threshold(self, threshold: float | None) -> "LoadedStudent":
        """The same student with another threshold of its score, or without one.

        Raises ValueError for a multi-label student without a threshold, which would have every label.
        """
        if not self.is_multi_label:
            return replace(self, none_of_these=None if threshold is None else NoneOfThese(threshold, score=self.score))
        if threshold is None:
            raise ValueError("an image can have several labels, and without a threshold it would have all of them")
        known = self.label_threshold
        slope = 1 / self.temperature if known is None else known.slope
        intercept = -threshold * slope if known is None else known.intercept
        return replace(self, label_threshold=LabelThreshold(threshold, slope, intercept))

    def classify(self, image: ImageSource, *, top: int | None = None) -> Classification:
        """The `top` labels of an image: by default 3, or all of a multi-label student. Raises ImageError."""
        return self._classified(self.embed([image]), top)[0]

    def classify_many(
        self, images: Iterable[SourceT], *, top: int | None = None, batch_size: int = BATCH
    ) -> Iterator[tuple[SourceT, Classification | ImageError]]:
        """Each image in order with its labels, or why it cannot be read.

        Images are decoded by threads, a bounded number ahead.
        """
        for batch in _batches(self._decoded(images), batch_size):
            good = [pixels for _, pixels in batch if not isinstance(pixels, ImageError)]
            found = iter(self._classified(self.graph(np.stack(good)), top) if good else ())
            for image, pixels in batch:
                yield image, pixels if isinstance(pixels, ImageError) else next(found)

    def classify_pixels(self, pixels: Floats, *, top: int | None = None) -> Classification:
        """The `top` labels of an input (C, H, W) of the student's `transform`, as `classify`."""
        return self._classified(self.graph(pixels[None]), top)[0]

    def embed(self, images: Sequence[ImageSource]) -> Floats:
        """The embeddings (N, D) of images, L2-normalised. Raises ImageError."""
        found = [self.graph(np.stack([self._pixels(one) for one in batch])) for batch in _batches(images, BATCH)]
        return np.concatenate(found) if found else np.empty((0, self.targets.shape[1]), np.float32)

    def _classified(self, embeddings: Floats, top: int | None) -> list[Classification]:
        """For each of `embeddings` (B, D). Raises BundleError for a multi-label student without a threshold."""
        if self.is_multi_label:
            if self.label_threshold is None:
                raise BundleError(
                    f"{self.bundle.folder} has no threshold of its labels, which needs more held-out images: give one"
                )
            judged = embeddings @ self.targets.T  # (B, K)
            return [self._all_labels(of_image, self.label_threshold, top) for of_image in judged]
        known = _cosines(embeddings, self.known_targets)  # (B, K')
        outliers = None if self.outlier_targets is None else _cosines(embeddings, self.outlier_targets)  # (B, M)
        values = open_set_score(self.score, known, outliers, self.temperature)  # (B,)
        logits = _cosines(embeddings, self.targets) / np.float32(self.temperature)  # (B, K)
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        best = np.argsort(-scores, axis=1, kind="stable")[:, : top or TOP]
        return [
            Classification(
                tuple(ScoredLabel(self.labels[at], float(of_image[at])) for at in chosen),
                float(cosine),
                None if self.none_of_these is None else bool(value < self.none_of_these.threshold),
                score=None if self.score == "cosine" else float(value),
            )
            for of_image, chosen, cosine, value in zip(scores, best, known.max(axis=1), values, strict=True)
        ]

    def _all_labels(self, cosines: Floats, by: LabelThreshold, top: int | None) -> Classification:
        """The labels whose cosines (K,) reach the threshold; at most `top`."""
        order = np.argsort(-cosines, kind="stable")
        logits = np.clip(by.slope * cosines[order].astype(np.float64) + by.intercept, -700, 700)
        scored = [
            ScoredLabel(self.labels[at], float(confidence))
            for at, confidence in zip(order.tolist(), 1 / (1 + np.exp(-logits)), strict=True)
        ]
        shown = scored[: int((cosines >= by.threshold).sum())][:top]
        return Classification(tuple(shown), float(cosines[order[0]]), not shown, nearest=None if shown else scored[0])

    def _decoded(self, images: Iterable[SourceT]) -> Iterator[tuple[SourceT, Floats | ImageError]]:
        def decode(image: ImageSource) -> Floats | ImageError:
            try:
                return self._pixels(image)
            except ImageError as error:
                return error

        ahead: deque[tuple[SourceT, Future[Floats | ImageError]]] = deque()
        pool = ThreadPoolExecutor(num_cpus(), "decode")
        try:
            for image in images:
                ahead.append((image, pool.submit(decode, image)))
                if len(ahead) > READ_AHEAD:
                    first, pixels = ahead.popleft()
                    yield first, pixels.result()
            for image, pixels in ahead:
                yield image, pixels.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _pixels(self, image: ImageSource) -> Floats:
        """The input (C, H, W) of an image."""
        if isinstance(image, Image.Image):
            return self.transform(image.convert("RGB"))
        name = "the image" if isinstance(image, bytes) else shown_path(image)
        try:
            data = image if isinstance(image, bytes) else read_image_file(Path(image))
            return self.transform(open_rgb(data, self.transform.background))
        except OSError as error:
            raise ImageError(f"{name}: {error.strerror}") from None
        except UnreadableImage as error:
            raise ImageError(f"{name}: {error}") from None


def _cosines(embeddings: Floats, targets: Floats) -> Floats:
    """The cosines (B, K) of L2-normalised `embeddings` (B, D) and `targets` (K, D).

    Not by BLAS, which rounds one row differently from several: an image near the threshold has the same result alone
    and among others.
    """
    found: Floats = np.einsum("bd,kd->bk", embeddings, targets)
    return found


def read_image_file(path: Path) -> bytes:
    """The content of a file. Raises ImageError for a pipe, socket or device, from which reading might never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise ImageError(f"{shown_path(path)}: a pipe, socket or device is not an image")
    return path.read_bytes()


def load_student(folder: str | Path, *, among: Among = "all") -> LoadedStudent:
    """Load the student of a bundle. `among`: the candidate labels: all, those seen in training, or the unseen ones.

    Raises BundleError.
    """
    bundle = Bundle.open(Path(folder))
    try:
        transform = ImageTransform.from_json(bundle.config["preprocess"])
        temperature = float(bundle.config["temperature"])
        if not temperature > 0:
            raise ValueError(f"a temperature of {temperature}")
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{bundle.folder / CONFIG} cannot be used: {error!r}") from None
    graph = Graph(bundle.path(IMAGE_GRAPH), "image")
    if graph.input_shape[1:] != list(transform.shape):
        raise BundleError(
            f"{bundle.folder / IMAGE_GRAPH} reads images of shape {graph.input_shape[1:]}, but {CONFIG} states "
            f"{list(transform.shape)}: the files are of different bundles, download them again"
        )
    labels, chosen = bundle.labels(among)
    targets = bundle.targets(len(labels), graph.width)
    return LoadedStudent(
        bundle,
        graph,
        transform,
        temperature,
        tuple(labels[position] for position in chosen),
        targets[chosen],
        targets,
        bundle.none_of_these(),
        bundle.is_multi_label(),
        bundle.label_threshold(),
    )


def _batches(items: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    batch: list[ItemT] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
