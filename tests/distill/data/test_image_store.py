"""One pass over image files: bounded read-ahead, stops, bad images, and cached digests of files."""

import errno
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distill import Stopped
from distill.data import image_store
from distill.data.image_store import Derived, FileContents, Mask, file_digests, read_images
from distill.data.row_cache import Keys
from distill.hooks import PipelineHooks

pytestmark = pytest.mark.usefixtures("old_files")
MakeImages = Callable[..., list[Path]]


class Collector:
    """Keeps the sum of each image. `needed`: the rows to ask for; None for all."""

    def __init__(self, unit: str = "images", needed: list[int] | None = None, bad_width: int = 0) -> None:
        self.unit, self._needed, self._bad_width = unit, needed, bad_width
        self.taken: list[tuple[int, bool, str]] = []
        self.calls: list[str] = []
        self.lock = threading.Lock()
        self.num_derived = self.most_ahead = 0

    def begin(self, digests: Keys, known: Mask) -> Mask:
        self.calls.append("begin")
        mask = np.full(len(known), self._needed is None)
        mask[self._needed or []] = True
        return mask

    def wants(self, digest: bytes) -> bool:
        return True

    def derive(self, image: Image.Image) -> Derived:
        if image.width == self._bad_width:
            raise ValueError("too narrow")
        with self.lock:
            self.num_derived += 1
        return np.asarray(image).sum(keepdims=True)

    def accept(self, row: int, digest: bytes, derived: Derived | None, reason: str) -> None:
        self.most_ahead = max(self.most_ahead, self.num_derived - len(self.taken))
        self.taken.append((row, derived is not None, reason))

    def finish(self) -> None:
        self.calls.append("finish")

    def close(self) -> None:
        self.calls.append("close")


def read(paths: list[Path], *consumers: Collector, cache: Path, hooks: PipelineHooks | None = None) -> None:
    read_images(paths, consumers, cache=cache, num_workers=4, hooks=hooks or PipelineHooks())


def test_each_consumer_gets_its_rows_in_order(tmp_path: Path, make_images: MakeImages) -> None:
    paths = make_images(tmp_path / "images", 9)
    whole, part, nothing = Collector("pictures"), Collector(needed=[2, 7]), Collector(needed=[])
    progress: list[tuple[int, int, str]] = []
    hooks = PipelineHooks(on_progress=lambda *step: progress.append(step))
    read(paths, whole, part, nothing, cache=tmp_path / "cache", hooks=hooks)
    assert whole.taken == [(row, True, "") for row in range(9)]
    assert part.taken == [(2, True, ""), (7, True, "")]
    assert nothing.taken == []
    assert whole.calls == part.calls == nothing.calls == ["begin", "finish", "close"]
    assert progress == [(9, 9, "images"), (0, 9, "pictures"), (9, 9, "pictures"), (9, 9, "images")]


def test_images_ahead_of_the_consumers_are_bounded(
    tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_store, "READ_AHEAD", 8)
    slow = Collector()
    accept = slow.accept

    def accept_slowly(row: int, digest: bytes, derived: Derived | None, reason: str) -> None:
        time.sleep(0.002)
        accept(row, digest, derived, reason)

    slow.accept = accept_slowly  # type: ignore[method-assign]
    read(make_images(tmp_path / "images", 60), slow, cache=tmp_path / "cache")
    assert len(slow.taken) == 60
    assert 1 < slow.most_ahead <= 9


def test_bad_image_of_one_consumer_is_good_for_another(tmp_path: Path, make_images: MakeImages) -> None:
    paths = make_images(tmp_path / "images", 2)
    Image.new("RGB", (7, 9)).save(paths[1])
    paths += [tmp_path / "missing.png", tmp_path / "text.png"]
    paths[3].write_text("no image")
    strict, lenient = Collector(bad_width=7), Collector()
    read(paths, strict, lenient, cache=tmp_path / "cache")
    assert [good for _, good, _ in strict.taken] == [True, False, False, False]
    assert [good for _, good, _ in lenient.taken] == [True, True, False, False]
    assert strict.taken[1][2] == "ValueError: too narrow"
    assert strict.taken[2][2] == lenient.taken[2][2] == "FileNotFoundError: No such file or directory"
    assert "cannot identify image file" in lenient.taken[3][2]


def test_stop_closes_the_consumers_and_keeps_the_digests(tmp_path: Path, make_images: MakeImages) -> None:
    paths = make_images(tmp_path / "images", image_store.REPORT_EVERY + 4)
    collector = Collector()
    hooks = PipelineHooks(should_stop=lambda: len(collector.taken) > 0)
    with pytest.raises(Stopped, match="32 of 36 images read"):
        read(paths, collector, cache=tmp_path / "cache", hooks=hooks)
    assert collector.calls == ["begin", "close"]
    assert FileContents(tmp_path / "cache").known(paths)[1].sum() >= image_store.REPORT_EVERY


@pytest.mark.parametrize("swap", [True, False])
def test_a_file_swapped_under_the_same_size_and_time_is_hashed_again(
    tmp_path: Path, make_images: MakeImages, swap: bool
) -> None:
    paths = make_images(tmp_path / "images", 2)
    read(paths, Collector(), cache=tmp_path / "cache")
    status, content = paths[0].stat(), paths[0].read_bytes()
    time.sleep(0.02)  # longer than a tick of the file system's clock
    if swap:
        paths[0].write_bytes(content[::-1])
        os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert FileContents(tmp_path / "cache").known(paths)[1].tolist() == [not swap, True]
    digests = file_digests(paths, cache=tmp_path / "cache", num_workers=2, hooks=PipelineHooks())
    assert [digest.tobytes() for digest in digests] == [hashlib.sha256(path.read_bytes()).digest() for path in paths]
    assert FileContents(tmp_path / "cache").known(paths)[1].all()


def test_hashing_many_files_reports_progress_and_can_be_stopped(tmp_path: Path, make_images: MakeImages) -> None:
    paths = make_images(tmp_path / "images", image_store.REPORT_EVERY + 4)
    steps: list[tuple[int, int, str]] = []
    hooks = PipelineHooks(on_progress=lambda *step: steps.append(step), should_stop=lambda: True)
    with pytest.raises(Stopped, match="32 of 36 images read"):
        file_digests(paths, cache=tmp_path / "cache", num_workers=2, hooks=hooks)
    assert steps == [(32, 36, "pictures")]
    assert FileContents(tmp_path / "cache").known(paths)[1].sum() >= image_store.REPORT_EVERY


def test_all_consumers_are_closed_if_one_fails_and_if_the_digests_cannot_be_written(
    tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    first, second = Collector(), Collector()
    monkeypatch.setattr(first, "close", lambda: (first.calls.append("close"), fail()))
    monkeypatch.setattr(FileContents, "flush", fail)
    with pytest.raises(OSError, match="No space left"):
        read(make_images(tmp_path / "images", 2), first, second, cache=tmp_path / "cache")
    assert first.calls[-1] == second.calls[-1] == "close"


def test_a_file_that_could_not_be_read_is_tried_again(
    tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = make_images(tmp_path / "images", 2)
    broken, repaired = Collector(), Collector()

    def read_broken(path: Path) -> bytes:
        if path == paths[1]:
            raise OSError(errno.EIO, "Input/output error")
        return path.read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr(image_store, "read_image", read_broken)
        read(paths, broken, cache=tmp_path / "cache")
    assert [good for _, good, _ in broken.taken] == [True, False]
    assert FileContents(tmp_path / "cache").known(paths)[1].tolist() == [True, False]
    read(paths, repaired, cache=tmp_path / "cache")
    assert [good for _, good, _ in repaired.taken] == [True, True]
