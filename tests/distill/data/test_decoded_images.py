"""Decoded images: values, cache hits and misses, bad files, and decoding on demand."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image

from distill import Stopped
from distill.data import image_store
from distill.data.crops import center_crop
from distill.data.decoded_images import DecodedImages, ImagesError, decode_images, eval_size, train_size
from distill.hooks import PipelineHooks
from limbeck.shared.images.decode import OpenedImage
from tests.distill.conftest import Clock
from tests.limbeck.shared.images.pictures import record_resizes

pytestmark = pytest.mark.usefixtures("old_files")


def write_image(path: Path, side: tuple[int, int] = (24, 24), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (*side, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def write_images(folder: Path, count: int = 5) -> list[Path]:
    return [write_image(folder / f"{number}.png", seed=number) for number in range(count)]


class Calls:
    """Counts decoded files, and records progress and bad images."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded = 0
        self.progress: list[tuple[int, int, str]] = []
        self.bad: list[tuple[str, str]] = []
        original = image_store.OpenedImage

        def opened(data: bytes) -> OpenedImage:
            self.decoded += 1
            return original(data)

        monkeypatch.setattr(image_store, "OpenedImage", opened)

    def decode(self, paths: list[Path], side_px: int, cache: Path) -> DecodedImages:
        return decode_images(
            paths,
            side_px,
            cache=cache,
            num_workers=2,
            hooks=PipelineHooks(
                on_progress=lambda *step: self.progress.append(step),
                on_bad_image=lambda path, reason: self.bad.append((path.name, reason)),
            ),
        )


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(monkeypatch)


def test_sides() -> None:
    assert [train_size(px).height for px in (32, 64, 96, 112, 224, 256)] == [32, 64, 96, 128, 256, 293]
    assert [eval_size(224, 0.875).height, eval_size(64, 1.0).height] == [256, 64]
    assert train_size((64, 96)) == (64, 96)
    assert train_size((64, 224)) == (73, 256)
    assert eval_size((112, 224), 0.875) == (128, 256)


@pytest.mark.parametrize("px", [(32, 48), (33, 97), (224, 224)])
@pytest.mark.parametrize("test_crop", [0.8, 0.875, 0.95, 1.0])
def test_evaluation_crops_what_the_transform_of_timm_crops(px: tuple[int, int], test_crop: float) -> None:
    """With it the model card and `limbeck classify` use the student."""
    image = np.random.default_rng(0).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    transform = timm.data.create_transform(
        (3, *px), crop_pct=test_crop, crop_mode="squash", interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1)
    )
    height, width = eval_size(px, test_crop)
    stored = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))
    ours = center_crop(torch.from_numpy(stored.copy())[None], px)[0]
    assert torch.equal(ours, transform(Image.fromarray(image)).mul(255).round().byte())


def test_images_are_squashed_to_a_size_that_is_not_square(tmp_path: Path, calls: Calls) -> None:
    path = write_image(tmp_path / "tall.png", (60, 30))
    with Image.open(path) as image:
        expected = np.asarray(image.resize((12, 20), Image.Resampling.BICUBIC))
    stored = decode_images([path], (20, 12), cache=tmp_path / "cache")
    np.testing.assert_array_equal(stored.pixels[np.array([0])][0], expected)
    on_demand = decode_images([path], (20, 12), cache=tmp_path / "cache2", decoded_gb=0)
    assert on_demand.pixels.shape == (1, 20, 12, 3)
    np.testing.assert_array_equal(on_demand.pixels[np.array([0])][0], expected)
    assert decode_images([path], (12, 20), cache=tmp_path / "cache").digest != stored.digest


def test_image_of_the_right_size_is_unchanged_and_another_is_squashed(tmp_path: Path, calls: Calls) -> None:
    same, tall = write_image(tmp_path / "same.png"), write_image(tmp_path / "tall.png", (60, 30))
    images = calls.decode([same, tall], 24, tmp_path / "cache")
    assert isinstance(images.pixels, np.memmap)
    np.testing.assert_array_equal(images.pixels[0], np.asarray(Image.open(same)))
    with Image.open(tall) as image:
        np.testing.assert_array_equal(images.pixels[1], np.asarray(image.resize((24, 24), Image.Resampling.BICUBIC)))
    assert calls.progress[-1] == (2, 2, "pictures")


def test_second_run_decodes_nothing(tmp_path: Path, calls: Calls) -> None:
    paths = write_images(tmp_path)
    first = calls.decode(paths, 16, tmp_path / "cache")
    assert calls.decoded == 5
    second = calls.decode(paths, 16, tmp_path / "cache")
    assert calls.decoded == 5
    assert first.digest == second.digest
    np.testing.assert_array_equal(first.pixels, second.pixels)


def test_another_size_order_or_content_misses_the_cache(tmp_path: Path, calls: Calls) -> None:
    paths, cache = write_images(tmp_path), tmp_path / "cache"
    digests = {calls.decode(paths, 16, cache).digest, calls.decode(paths, 20, cache).digest}
    digests.add(calls.decode(paths[::-1], 16, cache).digest)
    write_image(paths[2], seed=99)
    changed = calls.decode(paths, 16, cache)
    assert len({*digests, changed.digest}) == 4
    with Image.open(paths[2]) as image:
        small = np.asarray(image.resize((16, 16), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(changed.pixels[2], small)


def test_recently_changed_file_is_read_again(tmp_path: Path, calls: Calls, clock: Clock) -> None:
    paths = write_images(tmp_path, 2)
    clock.ahead_s = 0
    calls.decode(paths, 24, tmp_path / "cache")
    calls.decode(paths, 24, tmp_path / "cache")
    assert calls.decoded == 4


def test_bad_files_are_reported_each_time_and_have_zeros(tmp_path: Path, calls: Calls) -> None:
    paths = write_images(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    paths[3].write_text("no picture")
    paths.append(tmp_path / "missing.png")
    images = calls.decode(paths, 24, tmp_path / "cache")
    assert [name for name, _ in calls.bad] == ["1.png", "3.png", "missing.png"]
    assert all(reason for _, reason in calls.bad)
    assert images.usable().tolist() == [0, 2, 4]
    assert not images.pixels[[1, 3, 5]].any()
    calls.decode(paths[:5], 24, tmp_path / "cache")
    calls.bad.clear()
    again = calls.decode(paths[:5], 24, tmp_path / "cache")
    assert again.usable().tolist() == [0, 2, 4]
    assert [name for name, _ in calls.bad] == ["1.png", "3.png"]


def test_stopping_leaves_no_array(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        decode_images(
            write_images(tmp_path), 16, cache=tmp_path / "cache", hooks=PipelineHooks(should_stop=lambda: True)
        )
    assert not list((tmp_path / "cache" / "pixels").iterdir())


def test_damaged_array_is_written_again(tmp_path: Path, calls: Calls) -> None:
    paths = write_images(tmp_path)
    whole = calls.decode(paths, 16, tmp_path / "cache")
    values = np.array(whole.pixels)
    array = tmp_path / "cache" / "pixels" / f"{whole.digest}.npy"
    array.write_bytes(array.read_bytes()[:-1])
    np.testing.assert_array_equal(calls.decode(paths, 16, tmp_path / "cache").pixels, values)


def test_full_disk_is_reported_before_decoding(tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(ImagesError, match="lower image_px"):
        calls.decode(write_images(tmp_path), 16, tmp_path / "cache")
    assert calls.decoded == 0


def test_drafts_of_killed_runs_are_removed_after_a_day(tmp_path: Path, calls: Calls) -> None:
    drafts = [tmp_path / "cache" / "pixels" / f"drafts-1-{name}" for name in ("old", "new")]
    for draft in drafts:
        draft.mkdir(parents=True)
        (draft / "pixels.npy").write_bytes(b"half")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(drafts[0] / "pixels.npy", (two_days_ago, two_days_ago))
    calls.decode(write_images(tmp_path, 2), 16, tmp_path / "cache")
    assert [draft.exists() for draft in drafts] == [False, True]


def decode_on_demand(paths: list[Path], cache: Path, **given: Any) -> DecodedImages:
    return decode_images(paths, 16, cache=cache, num_workers=2, decoded_gb=0, **given)


def test_images_above_the_limit_are_decoded_on_demand(tmp_path: Path, calls: Calls) -> None:
    paths = [*write_images(tmp_path), tmp_path / "missing.png"]
    kept = calls.decode(paths, 16, tmp_path / "kept")
    calls.decoded = 0
    live = decode_on_demand(
        paths,
        tmp_path / "cache",
        hooks=PipelineHooks(on_bad_image=lambda path, reason: calls.bad.append((path.name, reason))),
    )
    assert calls.decoded == 5
    assert (live.digest, live.bad) == (kept.digest, kept.bad)
    np.testing.assert_array_equal(live.contents, kept.contents)
    assert live.pixels.shape == (6, 16, 16, 3)
    rows = np.array([4, 0, 5, 2])
    np.testing.assert_array_equal(live.pixels[rows], kept.pixels[rows])
    assert calls.decoded == 8
    assert not list((tmp_path / "cache").rglob("*.npy"))


def test_limit_applies_to_all_images_together(tmp_path: Path) -> None:
    paths, size_gb = write_images(tmp_path), 5 * 16 * 16 * 3 / 1e9
    for share, kept in ((1.01, True), (0.99, False)):
        images = decode_images(paths, 16, cache=tmp_path / f"{share}", decoded_gb=share * size_gb)
        assert isinstance(images.pixels, np.memmap) == kept
    # The limit does not apply to an existing array.
    assert isinstance(decode_on_demand(paths, tmp_path / "1.01").pixels, np.memmap)


@pytest.mark.parametrize("size", [(1, 400_000), (400_000, 1)])
def test_extremely_long_images_are_squashed_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    Image.new("L", size, 77).save(tmp_path / "long.png")
    resized = record_resizes(monkeypatch)
    images = decode_images([tmp_path / "long.png"], 256, cache=tmp_path / "cache")
    assert not images.bad
    assert (images.pixels[np.array([0])] == 77).all()
    assert max(resized) <= 1_000_000


def test_images_on_demand_have_the_background_of_the_pass(tmp_path: Path) -> None:
    Image.new("RGBA", (16, 16), (0, 255, 0, 0)).save(tmp_path / "clear.png")
    for decoded_gb in (0, 1):
        for colour, pixel in (("#000000", [0, 0, 0]), ("#ff8000", [255, 128, 0])):
            images = decode_images(
                [tmp_path / "clear.png"], 16, cache=tmp_path / "cache", decoded_gb=decoded_gb, background=colour
            )
            assert images.pixels[np.array([0])][0, 3, 3].tolist() == pixel


def test_known_files_are_not_read_again(tmp_path: Path, calls: Calls) -> None:
    paths = write_images(tmp_path)
    decode_on_demand(paths, tmp_path / "cache")
    again = decode_on_demand(paths, tmp_path / "cache")
    assert calls.decoded == 5
    assert len(again.pixels[np.arange(5)]) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: write_image(path, seed=99), r"1.png was changed during the run \(other content\)"),
        (lambda path: path.unlink(), r"1.png was changed .* \(FileNotFoundError: No such file or directory\)"),
    ],
)
def test_file_that_changes_during_a_run_is_named(
    tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    paths = write_images(tmp_path)
    live = decode_on_demand(paths, tmp_path / "cache")
    change(paths[1])
    assert len(live.pixels[np.array([0, 2])]) == 2
    with pytest.raises(ImagesError, match=message):
        live.pixels[np.array([0, 1])]
