"""Students that classify in the API's process, by ONNX Runtime and without torch, from the files of their bundles.

The files are kept in the cache of this machine under the digest of the bundle, and are compared with its manifest each
time they are loaded. A loaded student is kept while it is among those that were used last.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from api.http.problems import ProblemError
from api.readers.thumbnail_files import PROCESSES
from distill.data.atomic_files import mark_used, replacing
from distill.data.image_files.parquet_rows import SharedLRU
from limbeck.shared.bundle.files import MANIFEST_FILE, BundleError
from limbeck.shared.bundle.open_set import OUTLIERS_FILE, OpenSetScore
from limbeck.shared.images.unreadable import UnreadableImage
from store.artefacts import Artefacts
from store.blobs.reading import Composed, get_file

if TYPE_CHECKING:  # `limbeck.classify` imports numpy and onnxruntime, which the API loads when they are used
    import numpy as np
    import numpy.typing as npt

    from limbeck.classify.preprocessing import ImageTransform
    from limbeck.classify.student import Classification, LoadedStudent
    from limbeck.classify.text_encoder import TextEncoder

TEXT_GRAPH = "onnx/text.onnx"
PATHS = (
    MANIFEST_FILE,
    "onnx/config.json",
    "onnx/image.onnx",
    TEXT_GRAPH,
    "onnx/tokenizer.json",
    "targets/labels.json",
    "targets/text_targets.safetensors",
    OUTLIERS_FILE,
    "evaluation.json",
)
"""The files of a bundle that are read."""
_NUM_STUDENTS = 3
_NUM_TEXT_TOWERS = 1
_ONNX_MISSING = (
    "ONNX Runtime is not installed where the API runs: pip install onnxruntime, or download the student and use "
    "`limbeck classify`"
)


class StudentModels:
    """The loaded students of a service. At most one picture is embedded at a time."""

    def __init__(self, artefacts: Artefacts, cache: Path) -> None:
        self._artefacts, self._cache = artefacts, cache / "students"
        self._students: SharedLRU[LoadedStudent] = SharedLRU(_NUM_STUDENTS, lambda student: 1)
        self._texts: SharedLRU[TextEncoder] = SharedLRU(_NUM_TEXT_TOWERS, lambda encoder: 1)
        self._running = threading.Lock()

    def classify(
        self,
        picture: bytes,
        digest: str,
        files: Mapping[str, Composed],
        words: Sequence[str],
        *,
        top: int,
        score: OpenSetScore = "cosine",
    ) -> "Classification":
        """The best labels of a picture, among those of the bundle with this digest and `words`; all that it shows, if
        pictures can have several.

        `score`: by which the picture is none of these. Raises ProblemError: `image_unreadable` and `image_too_costly`
        (422), `bundle_unusable` and `score_missing` (409), `onnxruntime_missing` (503).
        """
        try:
            student = self._students.get(digest, lambda: self._load(digest, files))
            if score != "cosine":
                student = self._with_score(student, digest, score)
            pixels, _ = PROCESSES.run(picture_pixels, picture, student.transform)
            with self._running:
                if words:
                    student = self._with_words(student, digest, words)
                return student.classify_pixels(pixels, top=None if student.is_multi_label else top)
        except ModuleNotFoundError:
            raise ProblemError(503, "onnxruntime_missing", _ONNX_MISSING) from None
        except BundleError as error:
            reason = str(error).replace(f"{self._cache / digest}", "the student")
            raise ProblemError(409, "bundle_unusable", reason) from None

    def _with_score(self, student: "LoadedStudent", digest: str, score: OpenSetScore) -> "LoadedStudent":
        from limbeck.classify.bundle import ScoreMissing

        try:
            return student.with_score(score)
        except ScoreMissing as error:
            reason = str(error).replace(f"{self._cache / digest}", "the student")
            raise ProblemError(409, "score_missing", reason) from None

    def _load(self, digest: str, files: Mapping[str, Composed]) -> "LoadedStudent":
        from limbeck.classify.student import load_student

        folder = self._cache / digest
        self._fetch(folder, files, missing_only=True)
        try:
            return load_student(folder)
        except BundleError:  # a file of the cache was damaged
            self._fetch(folder, files, missing_only=False)
            return load_student(folder)

    def _fetch(self, folder: Path, files: Mapping[str, Composed], *, missing_only: bool) -> None:
        for path, content in files.items():
            if missing_only and (folder / path).exists():
                mark_used(folder / path)
                continue
            with replacing(folder / path) as draft:
                get_file(self._artefacts, content, draft)

    def _with_words(self, student: "LoadedStudent", digest: str, words: Sequence[str]) -> "LoadedStudent":
        """The same student with these labels too. It has no threshold, which was chosen for the bundle's labels."""
        from limbeck.classify.text_encoder import TextEncoder

        new = [word for word in dict.fromkeys(words) if word not in student.labels]
        if not new:
            return student
        targets = self._texts.get(digest, lambda: TextEncoder(student.bundle)).targets(new)
        import numpy as np

        both = np.concatenate([student.targets, targets])
        labels = (*student.labels, *new)
        return replace(student, labels=labels, targets=both, known_targets=both, none_of_these=None)


def picture_pixels(picture: bytes, transform: "ImageTransform") -> "tuple[npt.NDArray[np.float32], list[None]]":
    """The input (C, H, W) of a student for an image file. Raises ProblemError `image_unreadable`."""
    from limbeck.shared.images.decode import open_rgb  # imported late: it loads numpy

    try:
        return transform(open_rgb(picture, transform.background)), []
    except UnreadableImage as error:
        raise ProblemError(422, "image_unreadable", str(error)[:300]) from None
