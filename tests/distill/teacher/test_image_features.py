"""Cached features equal the teacher's, are found by content, and a damaged file affects only itself."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from distill import Stopped
from distill.data import image_store
from distill.hooks import PipelineHooks
from distill.teacher import image_features
from distill.teacher.image_features import CPU_BATCH
from distill.teacher.teacher import Teacher, TeacherError, load_teacher
from limbeck.shared.images.decode import open_rgb
from tests.distill.conftest import IMAGE_PX, WIDTH, save_clip, tiny_clip_config

MakeImages = Callable[..., list[Path]]
features_of = image_features.image_features


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of distinct images in each call of a teacher; batches are filled with copies of the first image."""
    counts: list[int] = []
    original = Teacher.encode_images

    def encode_images(self: Teacher, images: torch.Tensor) -> torch.Tensor:
        assert len(images) == CPU_BATCH
        counts.append(len(torch.unique(images.flatten(1), dim=0)))
        return original(self, images)

    monkeypatch.setattr(Teacher, "encode_images", encode_images)
    return counts


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read during the test."""
    names: list[str] = []
    original = image_store.read_image

    def read_image(path: Path) -> bytes:
        names.append(path.name)
        return original(path)

    monkeypatch.setattr(image_store, "read_image", read_image)
    return names


@pytest.mark.slow
def test_live_and_cached_features_agree(tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages) -> None:
    paths = make_images(tmp_path / "pictures", 40)
    live = torch.cat([tiny_teacher.encode_images(tiny_teacher.prepare(Image.open(path))[None]) for path in paths])
    first = features_of(tiny_teacher, paths, cache=tmp_path / "cache")
    again = features_of(tiny_teacher, paths, cache=tmp_path / "cache")
    assert first.features.shape == (40, WIDTH)
    assert first.features.dtype == torch.float32
    assert torch.equal(first.features, again.features)
    assert torch.nn.functional.cosine_similarity(live, first.features).min() >= 0.999
    torch.testing.assert_close(first.features.norm(dim=1), live.norm(dim=1), rtol=1e-3, atol=0)
    assert not first.bad.any()


@pytest.mark.usefixtures("old_files")
def test_known_files_are_neither_encoded_nor_read_again(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages, encoded: list[int], files_read: list[str]
) -> None:
    paths = make_images(tmp_path / "pictures", 10)
    features_of(tiny_teacher, paths, cache=tmp_path / "cache")
    assert encoded == [10]
    assert len(files_read) == 10
    features_of(tiny_teacher, paths[::-1], cache=tmp_path / "cache")
    assert encoded == [10]
    assert len(files_read) == 10


def test_recently_changed_file_is_hashed_again(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages, encoded: list[int], files_read: list[str]
) -> None:
    paths = make_images(tmp_path / "pictures", 3)
    features_of(tiny_teacher, paths, cache=tmp_path / "cache")
    features_of(tiny_teacher, paths, cache=tmp_path / "cache")
    assert encoded == [3]
    assert len(files_read) == 6


@pytest.mark.usefixtures("old_files")
def test_copied_content_hits_and_changed_content_misses(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages, encoded: list[int]
) -> None:
    paths = make_images(tmp_path / "pictures", 4)
    first = features_of(tiny_teacher, paths, cache=tmp_path / "cache")
    copies = [Path(shutil.copy(path, tmp_path / f"copy of {path.name}")) for path in paths]
    twice = features_of(tiny_teacher, [*copies, *copies], cache=tmp_path / "cache")
    assert encoded == [4]
    assert torch.equal(twice.features, first.features.repeat(2, 1))
    (other,) = make_images(tmp_path / "other", 1, seed=9)
    shutil.copy(other, paths[0])
    changed = features_of(tiny_teacher, paths, cache=tmp_path / "cache")
    assert encoded == [4, 1]
    assert not torch.equal(changed.features[0], first.features[0])
    assert torch.equal(changed.features[1:], first.features[1:])


def test_duplicate_content_is_encoded_once(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages, encoded: list[int]
) -> None:
    paths = make_images(tmp_path / "pictures", 3)
    result = features_of(tiny_teacher, [*paths, *paths], cache=tmp_path / "cache")
    assert encoded == [3]
    assert torch.equal(result.features[:3], result.features[3:])


@pytest.mark.slow
def test_another_teacher_preprocessing_or_view_misses_the_cache(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages, encoded: list[int]
) -> None:
    paths = make_images(tmp_path / "pictures", 3)
    squash = save_clip(tmp_path / "squash", tiny_clip_config(), preprocess={"mean": [0.5, 0.5, 0.5]})
    seed = save_clip(tmp_path / "seed", tiny_clip_config(), seed=1)
    results = [
        features_of(tiny_teacher, paths, cache=tmp_path / "cache"),
        features_of(tiny_teacher, paths, cache=tmp_path / "cache", view="squash"),
        features_of(load_teacher(f"local-dir:{squash}"), paths, cache=tmp_path / "cache"),
        features_of(load_teacher(f"local-dir:{seed}"), paths, cache=tmp_path / "cache"),
    ]
    assert encoded == [3, 3, 3, 3]
    assert len({result.features.numpy().tobytes() for result in results}) == 4


def test_feature_does_not_depend_on_other_images_of_the_batch(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages
) -> None:
    paths = make_images(tmp_path / "pictures", CPU_BATCH + 9)
    together = features_of(tiny_teacher, paths, cache=tmp_path / "one")
    for part in (paths[30:33], paths[:5]):
        features_of(tiny_teacher, part, cache=tmp_path / "two")
    assert torch.equal(features_of(tiny_teacher, paths, cache=tmp_path / "two").features, together.features)


def test_damaged_files_are_reported_and_marked_bad(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages
) -> None:
    paths = make_images(tmp_path / "pictures", 8)
    paths[1].write_bytes(paths[1].read_bytes()[:-200])
    paths[2].write_bytes(b"not an image")
    paths[3].write_bytes(b"")
    paths[4].unlink()
    Image.new("RGB", (8, 8)).save(paths[5].with_suffix(".eps"))
    shutil.move(paths[5].with_suffix(".eps"), paths[5])
    reasons: dict[Path, str] = {}
    result = features_of(
        tiny_teacher, paths, cache=tmp_path / "cache", hooks=PipelineHooks(on_bad_image=reasons.__setitem__)
    )
    assert sorted(reasons) == paths[1:6]
    assert all(reasons.values())
    assert result.bad.tolist() == [False, True, True, True, True, True, False, False]
    assert not result.features[1:6].any()
    good = features_of(tiny_teacher, [paths[0], *paths[6:]], cache=tmp_path / "fresh")
    assert torch.equal(result.features[~result.bad], good.features)


def test_bad_image_is_logged_without_hooks(
    tiny_teacher: Teacher, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features_of(tiny_teacher, [tmp_path / "missing.png"], cache=tmp_path / "cache")
    assert "missing.png" in caplog.text


def test_stopping_keeps_finished_features(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages, encoded: list[int]
) -> None:
    paths = make_images(tmp_path / "pictures", 3 * CPU_BATCH)
    with pytest.raises(Stopped, match=f"{CPU_BATCH} of {3 * CPU_BATCH}"):
        features_of(
            tiny_teacher, paths, cache=tmp_path / "cache", hooks=PipelineHooks(should_stop=lambda: len(encoded) == 1)
        )
    steps: list[tuple[int, int, str]] = []
    features_of(
        tiny_teacher, paths, cache=tmp_path / "cache", hooks=PipelineHooks(on_progress=lambda *step: steps.append(step))
    )
    assert encoded == [CPU_BATCH] * 3
    total = 3 * CPU_BATCH
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)
    assert (steps[-1], {step[1:] for step in steps}) == ((total, total, "images"), {(total, "images")})


def test_long_runs_flush_the_cache_regularly(
    tiny_teacher: Teacher, tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_features, "FLUSH_EVERY_ROWS", CPU_BATCH)
    paths = make_images(tmp_path / "pictures", 2 * CPU_BATCH)
    num_shards: list[int] = []

    def count_shards(done: int, total: int, unit: str) -> None:
        num_shards.append(len(list((tmp_path / "cache/image").glob("*/*.safetensors"))))

    features_of(tiny_teacher, paths, cache=tmp_path / "cache", hooks=PipelineHooks(on_progress=count_shards))
    assert num_shards == [0, 1, 2]


def test_no_images_give_no_features(tiny_teacher: Teacher, tmp_path: Path) -> None:
    result = features_of(tiny_teacher, [], cache=tmp_path / "cache")
    assert result.features.shape == (0, WIDTH)


def test_features_that_are_not_finite_are_refused(tiny_clip: Path, tmp_path: Path, make_images: MakeImages) -> None:
    folder = Path(shutil.copytree(tiny_clip, tmp_path / "huge"))
    state = load_file(folder / "open_clip_model.safetensors")
    state["visual.proj"] *= 1e6
    save_file(state, folder / "open_clip_model.safetensors")
    with pytest.raises(TeacherError, match="not finite"):
        features_of(
            load_teacher(f"local-dir:{folder}"), make_images(tmp_path / "pictures", 1), cache=tmp_path / "cache"
        )
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
def test_every_common_mode_is_converted_to_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    if mode == "I;16":
        Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).save(path)
    else:
        Image.new(mode, (IMAGE_PX, 8)).save(path, **({"transparency": b"\0\1\2"} if mode == "P" else {}))
    assert open_rgb(path.read_bytes()).mode == "RGB"
